"""Connects, says so, and waits for a line on stdin; then asks once more."""

import asyncio
import json

import anyio
from mcp import Client, MCPError, StdioServerParameters


async def main():
    with open("mcp.json") as file:
        server = json.load(file)["mcpServers"]["notes"]
    async with Client(StdioServerParameters(**server), read_timeout_seconds=60) as client:
        await client.list_tools()
        print("connected", flush=True)
        await anyio.to_thread.run_sync(input)
        try:
            await client.call_tool("list_notes", {})
            print("answered", flush=True)
        except (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            print("no server:", error, flush=True)


asyncio.run(main())
