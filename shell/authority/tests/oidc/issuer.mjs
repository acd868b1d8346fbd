// An OpenID provider on loopback. Prints one line of JSON with its issuer when it listens, and ends when its input does.
// Client credentials with RFC 8707 give JWT access tokens; the grant `urn:remit:test:user` gives one for a user, as a sign-in would.
import { createServer } from 'node:http';
import Provider, { errors } from 'oidc-provider';

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'workload',
      client_secret: 'workload-secret',
      grant_types: ['client_credentials', 'urn:remit:test:user'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ['mcp:read', 'mcp:write'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'mcp:read mcp:write',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
});

provider.registerGrantType(
  'urn:remit:test:user',
  async (ctx) => {
    const { AccessToken, Grant, ResourceServer } = provider;
    const { user, resource } = ctx.oidc.params;
    if (!user || !resource) throw new errors.InvalidRequest('user and resource are needed');
    const grant = new Grant({ accountId: user, clientId: ctx.oidc.client.clientId });
    grant.addResourceScope(resource, 'mcp:read');
    const grantId = await grant.save();
    const token = new AccessToken({
      accountId: user,
      client: ctx.oidc.client,
      grantId,
      gty: 'urn:remit:test:user',
      scope: 'mcp:read',
    });
    token.resourceServer = new ResourceServer(resource, {
      scope: 'mcp:read',
      audience: resource,
      accessTokenFormat: 'jwt',
      accessTokenTTL: 300,
      jwt: { sign: { alg: 'RS256' } },
    });
    ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: 300 };
  },
  ['user', 'resource'],
  [],
);

server.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
console.log(JSON.stringify({ issuer }));
