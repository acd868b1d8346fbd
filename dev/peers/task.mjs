// Calls a tool that has to be called as a task, and prints what the TypeScript SDK makes of it: a line of JSON for each message.
// node task.mjs URL TOKEN TOOL ARGUMENTS
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';

const [url, token, name, args] = process.argv.slice(2);
const client = new Client({ name: 'it', version: '1' }, { capabilities: {} });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }));
await client.listTools();
const stream = client.experimental.tasks.callToolStream({ name, arguments: JSON.parse(args) }, CallToolResultSchema, { task: { ttl: 300000 } });
for await (const message of stream) {
  console.log(JSON.stringify(message, (key, value) => (value instanceof Error ? { message: value.message } : value)));
}
await client.close();
process.exit(0);
