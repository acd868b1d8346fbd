// An OpenID provider on loopback that signs people in: whoever types a name is that person, `<name>@acme.example`. Its argument is the redirect
// URI of the one client; a second one, `userinfo`, has it tell addresses and groups at its UserInfo endpoint alone, where it takes mallory for
// ana. Prints one line of JSON with its issuer when it listens, and ends when its input does.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const userinfo = process.argv[3] === 'userinfo';
const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'remit',
      client_secret: 'of-the-gateway',
      redirect_uris: [process.argv[2]],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  // As OpenID Connect Core has it, section 5.4, claims of scopes are told to whoever asks for them with the access token alone.
  conformIdTokenClaims: userinfo,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, groups: sub.startsWith('ana') ? ['platform'] : ['others'], email: `${sub}@acme.example`, email_verified: !sub.startsWith('unverified') }),
  }),
});

provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route === 'userinfo' && ctx.body?.sub === 'mallory') ctx.body = { ...ctx.body, sub: 'ana' };
});
server.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
console.log(JSON.stringify({ issuer }));
