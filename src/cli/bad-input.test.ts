// Every way to write a wrong command line: one line that names the option and what was expected.

import { describe, expect, test } from "vitest";
import { UserError } from "../util/user-error.ts";
import { configOf, words } from "./config-for-tests.ts";

const DRIVE = "-drive file=x,id=hd0";

describe("one line for each mistake", () => {
  test.each([
    // Options
    ["-nographics", "-nographics: there is no such option (did you mean -nographic?)"],
    ["--kernl x", "--kernl: there is no such option (did you mean -kernel?)"],
    ["-xyzzyplugh", "-xyzzyplugh: there is no such option (-help lists the options)"],
    ["-vnc :0", "-vnc: not in Plantain yet"],
    ["-S", "-S: not in Plantain yet"],
    ["-gdb tcp::1234", "-gdb: not in Plantain yet"],
    ["-kernel", "-kernel: the value is missing: expected -kernel FILE"],
    ["-drive -nographic", "-drive: the value is missing before -nographic: expected -drive file=FILE"],
    ["--M=virt", '--M=virt: expected a space in place of the first "=": -M virt'],
    ['""', "there is an empty word on the command line: expected an option"],
    ["a.img b.img", "b.img: a second disk image without an option: use -drive"],
    // Machine, harts, memory
    ["-M vrit", '-M vrit: there is no machine "vrit" (did you mean "virt"?)'],
    ["-M sifive_u", '-M sifive_u: there is no machine "sifive_u": -M help lists them'],
    ['-M ""', "-M : the type's name is missing"],
    [
      "-M virt,banan-rom=off",
      '-M virt,banan-rom=off: machine virt has no property "banan-rom" (did you mean "banana-rom"?)',
    ],
    ["-M virt,banana-rom=maybe", "-M virt,banana-rom=maybe: banana-rom=maybe: expected on or off"],
    ["-M virt,aia=aplic", "-M virt,aia=aplic: the property aia is not in Plantain yet"],
    ["-M virt,dumpdtb=", "-M virt,dumpdtb=: dumpdtb= is empty"],
    [
      "-M virt,accel=kvm",
      '-M virt,accel=kvm: there is no accelerator "kvm": Plantain has jit (also called tcg) and interp',
    ],
    ["-icount 11", "-icount 11: shift=11: expected a number from 0 to 10: an instruction takes 2^shift ns"],
    ["-icount auto", "-icount auto: shift=auto is not in Plantain yet: give a number from 0 to 10"],
    ["-accel tcg,foo=1", '-accel tcg,foo=1: unknown key "foo"'],
    ["-enable-kvm", "-enable-kvm: Plantain always emulates and does not use KVM: leave the option out"],
    ["-cpu rv46", '-cpu rv46: there is no hart type "rv46" (did you mean "rv64"?)'],
    ["-cpu rv64,zbaa=on", '-cpu rv64,zbaa=on: hart type rv64 has no property "zbaa" (did you mean "zba"?)'],
    ["-cpu rv64,zba=maybe", "-cpu rv64,zba=maybe: zba=maybe: expected on or off"],
    ["-cpu rv64,v=on", "-cpu rv64,v=on: the property v is not in Plantain yet"],
    ["-smp 0", "-smp 0: cpus=0: expected a whole number from 1 to 65536"],
    ["-smp two", "-smp two: cpus=two: expected a whole number from 1 to 65536"],
    ["-smp 9", "-smp 9: the virt board has room for 8 harts, not for 9"],
    ["-smp 2,maxcpus=1", "-smp 2,maxcpus=1: maxcpus=1: expected at least the 2 harts at the start"],
    ["-smp 3,cores=2", "-smp 3,cores=2: sockets (1) * cores (2) * threads (1) must be the number of harts, which is 3"],
    ["-smp 1,coers=1", '-smp 1,coers=1: unknown key "coers" (did you mean "cores"?)'],
    ["-smp 1,dies=2", "-smp 1,dies=2: dies= must be 1"],
    ["-m 0", "-m 0: a machine needs memory: expected a size such as 128M"],
    ["-m -5", "-m -5: size=-5: expected a size such as 512M or 2G (a plain number counts MiB)"],
    ["-m 12Q", "-m 12Q: size=12Q: expected a size such as 512M or 2G"],
    ["-m maxmem=2G", "-m maxmem=2G: size= is missing: expected a size such as 512M"],
    ["-m 64,sloots=1", '-m 64,sloots=1: unknown key "sloots" (did you mean "slots"?)'],
    [
      "-rtc base=yesterday",
      "-rtc base=yesterday: base=yesterday: expected utc, localtime or a date such as 2006-06-17",
    ],
    ["-rtc base=2006-13-45", "-rtc base=2006-13-45: base=2006-13-45: expected utc"],
    ["-global force-legacy", "-global force-legacy: expected DRIVER.PROPERTY=VALUE"],
    [
      "-global virtio-mmio.force-legcy=off",
      '-global virtio-mmio.force-legcy=off: virtio-mmio has no property "force-legcy" (did you mean "force-legacy"?)',
    ],
    // What to boot
    ['-kernel ""', "-kernel : the name is empty: expected a file"],
    ["-append x", "-append x: this is for a kernel: expected -kernel FILE too"],
    ["-initrd x", "-initrd x: this is for a kernel: expected -kernel FILE too"],
    ["-fw_cfg name=opt/x", "-fw_cfg name=opt/x: expected either file= or string="],
    ["-fw_cfg name=opt/x,string=a,file=b", "expected either file= or string="],
    [`-fw_cfg name=opt/${"x".repeat(52)},string=a`, "the item's name has 56 bytes: expected at most 55"],
    ["-fw_cfg name=opt/x,string=a -fw_cfg name=opt/x,string=b", "there is another item with name=opt/x"],
    // Drives
    ["-drive fille=x", '-drive fille=x: unknown key "fille" (did you mean "file"?)'],
    ["-drive file=x,format=rwa", '-drive file=x,format=rwa: format=rwa: expected raw (did you mean "raw"?)'],
    ["-drive file=x,format=qcow2", "-drive file=x,format=qcow2: format=qcow2: not in Plantain yet"],
    ["-drive file=x,if=ide", "-drive file=x,if=ide: if=ide: the virt board has none: expected none or virtio"],
    ["-drive file=x,if=pflash", "-drive file=x,if=pflash: if=pflash: not in Plantain yet"],
    ["-drive file=x,if=vritio", '-drive file=x,if=vritio: if=vritio: expected none or virtio (did you mean "virtio"?)'],
    ["-drive file=x,readonly=maybe", "-drive file=x,readonly=maybe: readonly=maybe: expected on or off"],
    [
      "-drive file=x,cache=writebak",
      'cache=writebak: expected writeback, none, writethrough, directsync or unsafe (did you mean "writeback"?)',
    ],
    ["-drive file=x,werror=stop", "werror=stop: not in Plantain yet: errors are reported to the guest"],
    ["-drive file=x,bps=1000", "-drive file=x,bps=1000: bps=: not in Plantain yet"],
    ["-drive file=x,id=1x", '-drive file=x,id=1x: id=1x: expected a letter, then letters, digits, "-", "." or "_"'],
    [`${DRIVE} -drive file=y,id=hd0`, "-drive file=y,id=hd0: there is another drive with id=hd0"],
    [
      "-drive file=x,index=0 -drive file=y,index=0",
      "-drive file=y,index=0: there is another drive with if=none and index=0",
    ],
    ["-hda x -hda y", "-hda y: there is another drive with if=none and index=0"],
    // Devices
    [
      "-device virtio-blk-devcie",
      '-device virtio-blk-devcie: there is no device "virtio-blk-devcie" (did you mean "virtio-blk-device"?)',
    ],
    ["-device xyzzy", '-device xyzzy: there is no device "xyzzy": -device help lists them'],
    ["-device sifive-plic", '-device sifive-plic: there is no device "sifive-plic"'],
    ['-device ""', "-device : driver= is missing: expected the type of the device"],
    [
      `${DRIVE} -device virtio-blk-device,drvie=hd0`,
      'virtio-blk-device has no property "drvie" (did you mean "drive"?)',
    ],
    [
      `${DRIVE} -device virtio-blk-device,drive=hd1`,
      '-device virtio-blk-device,drive=hd1: there is no drive "hd1" (did you mean "hd0"?)',
    ],
    ["-device virtio-blk-device,drive=hd0", 'there is no drive "hd0": -drive file=FILE,id=ID would make one'],
    [
      `${DRIVE} -device virtio-blk-device,drive=hd0,id=a -device virtio-blk-device,drive=hd0,id=b`,
      'the drive "hd0" is in use already by -device virtio-blk-device,drive=hd0,id=a: give each device a drive of its own',
    ],
    [
      "-drive file=x,if=virtio,id=a -device virtio-blk-device,drive=a",
      'the drive "a" is in use already by -drive file=x,if=virtio,id=a',
    ],
    ["-drive id=a -device virtio-blk-device,drive=a", 'the drive "a" has no file: expected -drive file=FILE'],
    ["-device virtio-rng-device,id=a -device virtio-rng-device,id=a", "there is another device with id=a"],
    ["-device virtio-rng-device,id=,", "id=: expected a letter"],
    ['-device {"driver":"virtio-rng-device"}', "JSON is not in Plantain yet: write TYPE,NAME=VALUE"],
    ["-object rng-randm,id=r", 'expected rng-builtin or rng-random (did you mean "rng-random"?)'],
    ["-object iothread,id=r", "-object iothread,id=r: objects of type iothread are not in Plantain yet"],
    ["-object rng-random", "-object rng-random: id= is missing"],
    ["-object rng-builtin,id=r -object rng-random,id=r", "there is another object with id=r"],
    // Networks
    ["-netdev user", "-netdev user: id= is missing"],
    ["-netdev tap,id=n", "-netdev tap,id=n: networks of type tap are not in Plantain yet: expected user"],
    ["-netdev usr,id=n", '-netdev usr,id=n: there is no network type "usr": expected user (did you mean "user"?)'],
    ["-netdev user,id=n -netdev user,id=n", "-netdev user,id=n: there is another network with id=n"],
    ["-netdev user,id=n,restrct=on", /restrct.*did you mean "restrict"/],
    ["-netdev user,id=n,hostfwd=bogus", /hostfwd=bogus/],
    ["-device virtio-net-device,netdev=n", 'there is no network "n": -netdev user,id=ID would make one'],
    [
      "-nic model=virtio-net-device",
      "-nic model=virtio-net-device: type= is missing: expected the type of the network, or none",
    ],
    ["-nic user,model=e1000", '-nic user,model=e1000: there is no device "e1000"'],
    [
      "-net nic",
      "-net nic: expected none: the old -net form is not in Plantain, write -nic user or -netdev user,id=ID",
    ],
    // Character devices
    ["-chardev null", "-chardev null: id= is missing"],
    ["-chardev nul,id=c", '-chardev nul,id=c: there is no character device type "nul" (did you mean "null"?)'],
    ["-chardev pty,id=c", "-chardev pty,id=c: character devices of type pty are not in Plantain yet"],
    ["-chardev null,id=c -chardev null,id=c", "there is another character device with id=c"],
    ["-chardev stdio,id=a -chardev stdio,id=b", "the terminal is in use already by -chardev stdio,id=a"],
    ["-serial stdio -chardev stdio,id=a", "the terminal is in use already by -serial stdio"],
    ["-chardev file,id=c", "-chardev file,id=c: path= is missing: expected the file to write to"],
    ["-chardev file,id=c,paht=x", "path= is missing"],
    ["-chardev socket,id=c", "port= or path= is missing: expected host=HOST,port=PORT or path=PATH"],
    ["-chardev socket,id=c,port=99999", "port=99999: expected a whole number from 0 to 65535"],
    ["-chardev socket,id=c,port=1,path=x", "path= cannot go with host= and port="],
    ["-chardev socket,id=c,port=1,wait=on", "wait= is for server=on"],
    ["-chardev socket,id=c,port=1,server=on,reconnect=1", "reconnect= is for who connects"],
    ["-chardev socket,id=c,port=1,telnet=on", "telnet=: not in Plantain yet"],
    ["-chardev null,id=c,foo=1", '-chardev null,id=c,foo=1: unknown key "foo"'],
    ["-serial stdoi", '-serial stdoi: there is no character device "stdoi" (did you mean "stdio"?)'],
    ["-serial xyzzy", 'there is no character device "xyzzy": expected none, null, stdio, mon:'],
    ["-serial pty", '-serial pty: "pty" is not in Plantain yet'],
    ["-serial /dev/ttyUSB0", '"/dev/ttyUSB0" is not in Plantain yet'],
    ["-serial telnet:localhost:1", '"telnet:localhost:1" is not in Plantain yet'],
    ["-serial tcp:5555", '-serial tcp:5555: "5555" is no address: expected tcp:[HOST]:PORT'],
    ["-serial tcp::99999", "is no address: expected tcp:[HOST]:PORT"],
    ["-serial tcp::1,sever=on", 'unknown key "sever" (did you mean "server"?)'],
    ["-serial file:", "the name after file: is empty: expected a file"],
    ["-serial chardev:c", '-serial chardev:c: there is no character device "c": -chardev TYPE,id=ID would make one'],
    [
      "-chardev null,id=c -serial chardev:c -serial chardev:c",
      'the character device "c" is in use already by -serial chardev:c: share it with mux=on',
    ],
    [
      "-nographic -chardev stdio,id=c",
      "-nographic: the terminal is in use already by -chardev stdio,id=c: add -serial chardev:c",
    ],
    ["-chardev null,id=serial0", "the console has this name"],
    ["-monitor stdio", "-monitor stdio: the monitor is not in Plantain yet: expected none"],
    ["-display gtk", "-display gtk: displays are not in Plantain yet: expected none"],
    ["-display noen", '-display noen: expected none (did you mean "none"?)'],
    ["-vga std", "-vga std: displays are not in Plantain yet: expected none"],
    ["-parallel stdio", "-parallel stdio: the virt board has no parallel port: expected none"],
    ["-echr x", "-echr x: expected the character's code, 1 (Ctrl-A) to 255"],
    ["-echr 256", "expected the character's code"],
    // Running
    ["-d guest_error", '-d guest_error: there is no log item "guest_error" (did you mean "guest_errors"?)'],
    ["-d guest_errors,xyzzyplugh", 'there is no log item "xyzzyplugh": expected guest_errors, unimp'],
    ["-d out_asm", "-d out_asm: the log item out_asm is not in Plantain yet"],
    ["-d trace:foo", "-d trace:foo: the log item trace:foo is not in Plantain yet"],
    ['-D ""', "-D : the name is empty: expected a file"],
    ["-action reboot=bogus", "-action reboot=bogus: reboot=bogus: expected reset or shutdown"],
    ["-action panic=none", "-action panic=none: panic=: not in Plantain yet"],
  ])("%s", (line, message) => {
    const run = () => configOf(words(line));
    expect(run).toThrow(UserError);
    expect(run).toThrow(message);
    expect(run).not.toThrow(/\n/);
  });
});

test("a long option is repeated only in part", () => {
  const run = () => configOf(["-drive", `file=${"x".repeat(5000)},foo=1`]);
  expect(run).toThrow(/^-drive file=x{100,200}\.\.\.: unknown key "foo"/);
});

test("a type that nobody has is only a warning for -global, as in QEMU", () => {
  const { warnings } = configOf(words("-global virtio-blk-pci.x=1"));
  expect(warnings.join()).toMatch(/^-global virtio-blk-pci.x=1: there is no type "virtio-blk-pci"/);
});
