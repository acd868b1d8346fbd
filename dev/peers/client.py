"""Lists and calls tools, reads a resource and gets a prompt with the Python client; prints one line of JSON.

python client.py MODE URL TOKEN TOOL ARGUMENTS
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main(mode: str, url: str, token: str, tool: str, arguments: str) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=40) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            said = {"tools": [tool.name for tool in (await client.list_tools()).tools]}
            said["call"] = (await client.call_tool(tool, json.loads(arguments))).model_dump(mode="json")
            # A client that pins its revision never asks what the server offers, so neither do we: an empty list says enough.
            resources = (await client.list_resources()).resources
            if resources:
                said["resource"] = (await client.read_resource(str(resources[0].uri))).model_dump(mode="json")
            prompts = (await client.list_prompts()).prompts
            plain = [prompt for prompt in prompts if not any(a.required for a in prompt.arguments or [])]
            if plain:
                said["prompt"] = (await client.get_prompt(plain[0].name)).model_dump(mode="json")
    print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
