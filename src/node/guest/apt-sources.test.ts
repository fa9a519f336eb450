import { expect, test } from "vitest";
import { findMirrors, mirrorSource, releaseSources } from "./apt-sources.ts";

const ONE_LINE = `
# a comment, and what an installer leaves behind
deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - Official]/ bookworm main
deb http://mirror.example/debian bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main
deb [ arch=amd64,riscv64 signed-by=/usr/share/keyrings/k.gpg ] https://other.example/debian stable main
deb http://security.example/debian-security bookworm-security main
deb http://vendor.example/apt vendor-suite main
deb http://vendor.example/packages bookworm stable
`;

const DEB822 = `# Managed by hand
Types: deb deb-src
URIs: http://mirror.example/debian mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm bookworm-updates
# in between
Components: main non-free-firmware
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBFit
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

types: deb
uris: http://security.example/debian-security
suites: bookworm-security
components: main
signed-by: /usr/share/keyrings/debian.gpg
`;

test("mirrors of the archive, from the one-line format", () => {
  expect(findMirrors([{ name: "sources.list", text: ONE_LINE }], "bookworm")).toEqual([
    { uri: "http://mirror.example/debian" },
    { uri: "https://other.example/debian", signedBy: "/usr/share/keyrings/k.gpg" },
  ]);
});

test("mirrors of the archive, from stanzas, with a key in the middle of one", () => {
  const signedBy = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBFit\n -----END PGP PUBLIC KEY BLOCK-----";
  const mirrors = findMirrors([{ name: "debian.sources", text: DEB822 }], "bookworm");
  expect(mirrors).toEqual([
    { uri: "http://mirror.example/debian", signedBy },
    { uri: "mirror+file:/etc/apt/mirrors/debian.list", signedBy },
  ]);
  expect(mirrorSource(mirrors[0]!, "trixie")).toBe(
    `Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\nSigned-By: ${signedBy}\n`,
  );
});

test("a mirror that is named in several files is asked once", () => {
  const files = [
    { name: "sources.list", text: ONE_LINE },
    { name: "sources.list.d/debian.sources", text: DEB822 },
  ];
  expect(findMirrors(files, "bookworm").map(({ uri }) => uri)).toEqual([
    "http://mirror.example/debian",
    "https://other.example/debian",
    "mirror+file:/etc/apt/mirrors/debian.list",
  ]);
});

test("the machine's own release comes with its updates and without strangers", () => {
  const sources = releaseSources([{ name: "debian.sources", text: DEB822 }], "bookworm");
  expect(sources.match(/^Suites: .*$/gm)).toEqual([
    "Suites: bookworm bookworm-updates",
    "Suites: bookworm bookworm-updates",
    "Suites: bookworm-security",
  ]);
  expect(releaseSources([{ name: "sources.list", text: ONE_LINE }], "bookworm")).not.toContain("vendor");
});

test.each(["", "deb\n", "deb http://mirror.example/debian\n", "no such words at all"])("%j names no mirror", (text) => {
  expect(
    findMirrors(
      [
        { name: "sources.list", text },
        { name: "a.sources", text },
      ],
      "bookworm",
    ),
  ).toEqual([]);
});
