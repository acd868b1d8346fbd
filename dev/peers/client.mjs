// Lists and calls tools, reads a resource and gets a prompt with one of the TypeScript clients; prints one line of JSON.
// node client.mjs KIND ERA URL TOKEN TOOL ARGUMENTS
import { Client as Modern, StreamableHTTPClientTransport as ModernHttp } from '@modelcontextprotocol/client';
import { Client as Sdk } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as SdkHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [kind, era, url, token, tool, args] = process.argv.slice(2);
const options = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
const info = { name: 'it', version: '1' };
const mode = era === 'modern' ? { pin: '2026-07-28' } : era;
const client = kind === 'sdk' ? new Sdk(info) : new Modern(info, { versionNegotiation: { mode } });
await client.connect(new (kind === 'sdk' ? SdkHttp : ModernHttp)(new URL(url), options));
const said = { tools: (await client.listTools()).tools.map((tool) => tool.name) };
said.call = await client.callTool({ name: tool, arguments: JSON.parse(args) });
const offers = client.getServerCapabilities();
if (offers.resources) {
  const { resources } = await client.listResources();
  said.resource = resources.length && (await client.readResource({ uri: resources[0].uri }));
}
if (offers.prompts) {
  const { prompts } = await client.listPrompts();
  const plain = prompts.find((prompt) => !prompt.arguments?.some((argument) => argument.required));
  said.prompt = plain && (await client.getPrompt({ name: plain.name }));
}
await client.close();
console.log(JSON.stringify(said));
process.exit(0);
