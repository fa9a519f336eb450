import { describe, expect, it } from "vitest";
import { UserError } from "../../util/user-error.ts";
import { formatAddress, formatNetwork } from "./address.ts";
import { FakeHost } from "./host-for-tests.ts";
import { UserNet } from "./user-net.ts";
import { parseUserNetOptions } from "./user-net-options.ts";

function parse(text: string) {
  const pairs = text.split(",").map((pair): [string, string] => {
    const [name = "", ...value] = pair.split("=");
    return [name, value.join("=")];
  });
  return parseUserNetOptions([["id", "n"], ...pairs.filter(([name]) => name !== "")]);
}

function addresses(text: string): string {
  const { network, router, dns, firstLease } = parse(text);
  return [formatNetwork(network), ...[router, dns, firstLease].map(formatAddress)].join(" ");
}

describe("-netdev user", () => {
  // What `qemu-system-riscv64` 7.2 hands out over DHCP for the same options.
  it.each([
    ["", "10.0.2.0/24 10.0.2.2 10.0.2.3 10.0.2.15"],
    ["net=192.168.76.0/24", "192.168.76.0/24 192.168.76.2 192.168.76.3 192.168.76.15"],
    ["net=10.1.2.3/255.255.0.0", "10.1.0.0/16 10.1.2.2 10.1.2.3 10.1.2.15"],
    ["net=10.1.2.3", "10.0.0.0/8 10.0.2.2 10.0.2.3 10.0.2.15"],
    ["net=172.16.5.0", "172.16.0.0/12 172.16.2.2 172.16.2.3 172.16.2.15"],
    ["net=192.168.9.0", "192.168.0.0/16 192.168.2.2 192.168.2.3 192.168.2.15"],
    ["net=130.1.0.0", "130.1.0.0/16 130.1.2.2 130.1.2.3 130.1.2.15"],
    ["host=10.0.2.9", "10.0.2.0/24 10.0.2.9 10.0.2.3 10.0.2.15"],
    ["dhcpstart=10.0.2.1", "10.0.2.0/24 10.0.2.2 10.0.2.3 10.0.2.1"],
    ["dns=10.0.3.3", "10.0.2.0/24 10.0.2.2 10.0.3.3 10.0.2.15"],
  ])("derives the addresses of %j as QEMU does", (text, expected) => {
    expect(addresses(text)).toBe(expected);
  });

  it("reads every other option", () => {
    expect(
      parse("ipv4=on,ipv6=off,restrict=on,hostname=guest1,domainname=example.org,dnssearch=a.example.org,dnssearch=b"),
    ).toMatchObject({
      id: "n",
      restricted: true,
      hostname: "guest1",
      domainName: "example.org",
      searchDomains: ["a.example.org", "b"],
      forwards: [],
    });
  });

  it.each([
    ["tcp::2222-:22", { protocol: "tcp", hostAddress: "127.0.0.1", hostPort: 2222, guestPort: 22 }],
    ["::2222-:22", { protocol: "tcp", hostAddress: "127.0.0.1", hostPort: 2222 }],
    ["udp:0.0.0.0:53-10.0.2.20:5353", { protocol: "udp", hostAddress: "0.0.0.0", guestAddress: 0x0a000214 }],
    ["tcp::0-:22", { hostPort: 0, guestAddress: 0x0a00020f }],
  ])("reads hostfwd=%s", (rule, expected) => {
    expect(parse(`hostfwd=${rule}`).forwards).toMatchObject([{ ...expected, rule }]);
  });

  it.each([
    ["hostfwd=foo", /hostfwd=foo: malformed rule, expected \[tcp\|udp\]:/],
    ["hostfwd=", /malformed rule/],
    ["hostfwd=tcp::2222", /malformed rule/],
    ["hostfwd=tcp::2222-", /malformed rule/],
    ["hostfwd=tcp::2222-:", /"" is no guest port from 1 to 65535/],
    ["hostfwd=tcp::2222-:0", /"0" is no guest port/],
    ["hostfwd=tcp::-:22", /"" is no host port from 0 \(any free one\) to 65535/],
    ["hostfwd=tcp::99999-:22", /"99999" is no host port/],
    ["hostfwd=tcp::22x-:22", /"22x" is no host port/],
    ["hostfwd=sctp::2222-:22", /unknown protocol "sctp"/],
    ["hostfwd=tcp:localhost:2222-:22", /"localhost" is no IPv4 address of the host's/],
    ["hostfwd=tcp:1.2.3:2222-:22", /"1.2.3" is no IPv4 address/],
    ["hostfwd=tcp::2222-guest:22", /"guest" is no IPv4 address of the guest's/],
    ["hostfwd=tcp::2222-10.0.3.4:22", /guest address 10.0.3.4 is outside of the network 10.0.2.0\/24/],
    ["net=foo", /net=foo: expected ADDRESS\/BITS such as 10.0.2.0\/24/],
    ["net=10", /expected ADDRESS\/BITS/],
    ["net=10.0.0.0/8/8", /expected ADDRESS\/BITS/],
    ["net=10.1.0.0/33", /expected a mask of 4 to 32 bits/],
    ["net=10.1.0.0/3", /expected a mask of 4 to 32 bits/],
    ["net=10.1.0.0/255.0.255.0", /expected a mask of 4 to 32 bits/],
    ["net=240.0.0.0", /expected a mask/],
    ["net=127.0.0.0/8", /no host can have an address there/],
    ["net=224.0.0.0/8", /no host can have an address there/],
    ["net=10.1.0.0/30", /(host|dns|dhcpstart)/],
    ["net=10.1.0.0/29", /dhcpstart=10.1.0.7 is the network or broadcast address of 10.1.0.0\/29/],
    ["net=10.1.0.0/16,host=10.0.2.2", /host=10.0.2.2: the address is outside of the network 10.1.0.0\/16/],
    ["host=10.0.3.2", /host=10.0.3.2: the address is outside of the network 10.0.2.0\/24/],
    ["host=router", /expected an IPv4 address/],
    ["host=010.0.2.2", /expected an IPv4 address/],
    ["host=10.0.2.255", /host=10.0.2.255 is the network or broadcast address/],
    ["dns=10.0.2.2", /dns and host are both 10.0.2.2/],
    ["dhcpstart=10.0.2.2", /dhcpstart and host are both 10.0.2.2/],
    ["dhcpstart=10.0.3.1", /outside of the network/],
    ["restrict=maybe", /restrict=maybe: expected on or off/],
    ["restrict=on,restrict=off", /restrict is given twice/],
    ["restric=on", /unknown option "restric" \(did you mean "restrict"\?\), expected one of id, /],
    ["constructor=1", /unknown option "constructor"/],
    ["ipv4=off", /ipv4=off: without IPv4 nothing is left/],
    ["ipv6=on", /ipv6=on: there is no IPv6 yet, expected ipv6=off/],
    ["ipv6-net=fec0::/64", /ipv6-net is not supported here: there is no IPv6/],
    ["tftp=/srv", /tftp is not supported here/],
    ["smb=/srv", /smb is not supported here/],
    ["guestfwd=tcp:10.0.2.100:80-cmd:cat", /guestfwd is not supported here/],
    ["hostname=", /expected 1 to 255 printable ASCII/],
    ["hostname=a b", /expected 1 to 255 printable ASCII/],
    ["domainname=a..b", /expected a domain such as example.org/],
    [`dnssearch=${"x".repeat(64)}`, /expected a domain/],
    ["id=1n", /id is given twice/],
  ])("refuses %s in one line", (text, message) => {
    const attempt = () => parse(text);
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(/^-netdev user[^\n]*$/);
  });

  it("wants an id that is one", () => {
    expect(() => parseUserNetOptions([])).toThrow("-netdev user: expected an id, as in -netdev user,id=net0");
    expect(() => parseUserNetOptions([["id", "1n"]])).toThrow(/id=1n: expected a letter/);
  });

  it.each([
    ["in-use", "tcp port 2222 of 127.0.0.1 is in use, choose another host port"],
    ["prohibited", "tcp port 2222 of 127.0.0.1 may not be opened by this user, choose a host port from 1024 on"],
    ["not-available", "tcp port 2222 of 127.0.0.1 cannot be opened, the host does not have that address"],
    ["other", "tcp port 2222 of 127.0.0.1 cannot be opened: listen failed"],
  ] as const)("tells in one line that a port is %s, and closes the others", async (failure, message) => {
    const host = new FakeHost();
    const first = parse("hostfwd=tcp::2221-:21");
    const second = parse("hostfwd=tcp::2222-:22");
    const listen = host.sockets.listenTcp;
    host.sockets.listenTcp = (...call) => {
      if (call[1] === 2222) host.listenFailure = failure;
      return listen(...call);
    };
    const opening = UserNet.open({ ...first, forwards: [...first.forwards, ...second.forwards] }, host);
    await expect(opening).rejects.toThrow(UserError);
    await expect(opening).rejects.toThrow(`-netdev user,hostfwd=tcp::2222-:22: ${message}`);
    expect(host.listeners.map(({ closed }) => closed)).toEqual([true]);
  });
});
