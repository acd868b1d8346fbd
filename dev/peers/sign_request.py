"""Signs requests of users as a host might, with PyJWT: `sign_request.py ALG` prints a public key as a JWK, then, for each line of
`{"text": …, "claims": {…}}` on its input, a token with these claims and the text's digest."""

import base64
import hashlib
import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS = {
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm),
    "ES384": (lambda: ec.generate_private_key(ec.SECP384R1()), jwt.algorithms.ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, jwt.algorithms.OKPAlgorithm),
    "PS256": (lambda: rsa.generate_private_key(65537, 2048), jwt.algorithms.RSAAlgorithm),
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), jwt.algorithms.RSAAlgorithm),
}

algorithm = sys.argv[1]
generate, kind = ALGORITHMS[algorithm]
key = generate()
public = json.loads(kind.to_jwk(key.public_key()))
public = {"kty": public.pop("kty"), **{name: value for name, value in public.items() if name != "key_ops"}}
print(json.dumps({**public, "kid": "host", "alg": algorithm, "use": "sig"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    digest = base64.urlsafe_b64encode(hashlib.sha256(asked["text"].encode()).digest()).rstrip(b"=").decode()
    claims = {**asked["claims"], "request_sha256": digest}
    print(jwt.encode(claims, key, algorithm, {"typ": "remit-request+jwt", "kid": "host"}), flush=True)
