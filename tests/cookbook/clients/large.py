"""Sends and gets lines of 1 and of 10 MB."""

import asyncio
import json

from mcp import Client, StdioServerParameters


async def main():
    with open("mcp.json") as file:
        server = json.load(file)["mcpServers"]["notes"]
    async with Client(StdioServerParameters(**server), read_timeout_seconds=60) as client:
        for size in [1_000_000, 10_000_000]:
            result = await client.call_tool("search_notes", {"text": "x" * size})
            print("finds", repr(result.content[0].text))
            result = await client.call_tool("read_note", {"name": f"{size}.txt"})
            print("reads", len(result.content[0].text))
            result = await client.call_tool("read_note", {"name": "x" * size})
            print("error", result.is_error, len(result.content[0].text) > size)
    print("end")


asyncio.run(main())
