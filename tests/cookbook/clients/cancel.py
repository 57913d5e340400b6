"""Gives up a call that takes long, twice, and calls again."""

import asyncio
import json

import anyio
from mcp import Client, StdioServerParameters


async def main():
    with open("mcp.json") as file:
        server = json.load(file)["mcpServers"]["notes"]
    async with Client(StdioServerParameters(**server)) as client:
        for _ in range(2):
            goes_on = anyio.Event()

            async def progress(done, total, message):
                if done > 2:
                    goes_on.set()

            async def search():
                await client.call_tool("search_notes", {"text": "x"}, progress_callback=progress)
                print("the call has ended")

            async with anyio.create_task_group() as group:
                group.start_soon(search)
                await goes_on.wait()
                group.cancel_scope.cancel()
            with anyio.fail_after(60):
                result = await client.call_tool("list_notes", {})
            print(result.content[0].text)


asyncio.run(main())
