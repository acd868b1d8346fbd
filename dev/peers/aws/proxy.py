"""An MCP client that speaks to Remit through `mcp-proxy-for-aws`, which signs what it sends.

python proxy.py PROXY URL: one {"tool", "arguments"} a line on standard input, one answer a line on standard output. The first line that
is printed names the tools. Credentials are those that botocore finds.
"""

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(proxy: str, url: str) -> None:
    arguments = [url, "--service", "mcp", "--region", "us-east-1"]
    server = StdioServerParameters(command=proxy, args=arguments, env=dict(os.environ))
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        print(json.dumps({"tools": [tool.name for tool in (await session.list_tools()).tools]}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            try:
                result = await session.call_tool(call["tool"], call["arguments"])
                print(json.dumps({"call": result.model_dump(mode="json")}), flush=True)
            except Exception as error:
                print(json.dumps({"error": str(error)}), flush=True)


asyncio.run(main(*sys.argv[1:]))
