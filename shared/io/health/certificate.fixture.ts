/**
 * A self-signed certificate for tests of TLS clients; it is its own CA. Recipe:
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=node.example \
 *       -addext subjectAltName=DNS:node.example -keyout key.pem -out certificate.pem
 */
export const testCertificate = {
  certificate: `-----BEGIN CERTIFICATE-----
MIIBnjCCAUSgAwIBAgIUXPDdA+fF6Hyk5GHOOFd6HUiGvPMwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMbm9kZS5leGFtcGxlMCAXDTI2MTEyNDA2MjEwMloYDzIxMjYx
MDMxMDYyMTAyWjAXMRUwEwYDVQQDDAxub2RlLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAQ+jiGbSDAW7M0avfmDN8zATTVR3Y1f8A1nYpSmQx5H4BQT
YPTGKPLSd/XC2yT4yRcEnM/1an/azDFz3GoHob7Jo2wwajAdBgNVHQ4EFgQUfgqO
kCwOhqQwkdnw/ZGWOwvSCrswHwYDVR0jBBgwFoAUfgqOkCwOhqQwkdnw/ZGWOwvS
CrswDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggxub2RlLmV4YW1wbGUwCgYI
KoZIzj0EAwIDSAAwRQIgX2AR2DXDIuIvP1W+GvQ6NxWeORANnL/LseegaL8ESxsC
IQDzoyOn60l/fwYpgDr2RrdcB6N0+Lqrb3+tyw10wgML8w==
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/fYfr51tlssnMJ6K
yx1KrRdWc9x7i7BlAZItBfeOaPShRANCAAQ+jiGbSDAW7M0avfmDN8zATTVR3Y1f
8A1nYpSmQx5H4BQTYPTGKPLSd/XC2yT4yRcEnM/1an/azDFz3GoHob7J
-----END PRIVATE KEY-----
`,
};
