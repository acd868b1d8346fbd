// Cases from standard input, decisions to standard output, a line of JSON each; the cases are those of `remit_iam::simulate`.
// It drives the core of the engine, for the public entry knows which services and keys there are, and refuses others.
// node driver.mjs FOLDER-WITH-NODE_MODULES
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(join(resolve(process.argv[2]), 'driver.cjs'));
const core = dirname(require.resolve('@cloud-copilot/iam-simulate'));
const { authorize } = require(join(core, 'core_engine/CoreSimulatorEngine.js'));
const { AwsRequestImpl } = require(join(core, 'request/request.js'));
const { RequestContextImpl } = require(join(core, 'requestContext.js'));
const { loadPolicy } = require('@cloud-copilot/iam-policy');

const policy = (document, name) => loadPolicy(document, { name });
const policies = (list) => (list ?? []).map((document, index) => policy(document, `${index}`));
const levels = (list) => (list ?? []).map((level, index) => ({ orgIdentifier: `${index}`, policies: policies(level) }));
const nothingToDiscover = { constraintFor: () => ({ explicitlyConfigured: false }) };
const text = (value) => (Array.isArray(value) ? value.map(String) : String(value));

function decide({ request, ...given }) {
  const { principal, action, resource, context } = request;
  const facts = new RequestContextImpl(Object.fromEntries(Object.entries(context ?? {}).map(([key, value]) => [key, text(value)])));
  const resourcePolicy = given.resourcePolicy ?? given.trustPolicy;
  return authorize({
    request: new AwsRequestImpl(principal, resource, action, facts),
    sessionPolicy: given.sessionPolicy && policy(given.sessionPolicy, 'session'),
    identityPolicies: policies(given.identityPolicies),
    permissionBoundaries: given.permissionBoundaries && policies(given.permissionBoundaries),
    serviceControlPolicies: levels(given.serviceControlPolicies),
    resourceControlPolicies: levels(given.resourceControlPolicies),
    resourcePolicy: resourcePolicy && policy(resourcePolicy, 'resource'),
    vpcEndpointPolicies: undefined,
    simulationParameters: { simulationMode: 'Strict', discoveryContextKeyConstraints: nothingToDiscover },
  }).result;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { id, decision: decide(given) };
  } catch (error) {
    answer = { id, error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
