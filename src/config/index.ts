// The public entry "plantain/config": what a plantain.config.ts is written with.

/** A device to add: a file that defines one, relative to the configuration's folder, or a type that the board offers. */
export interface ConfigDevice {
  /** `./my-device.ts`, `./devices.ts#bananaDma`, or a type such as `virtio-rng-device`. */
  readonly device: string;
  /** Only for a file's: physical address; `auto` unless given. */
  readonly addr?: number | bigint | "auto";
  /** Only for a file's: inputs of the interrupt controller; `auto` unless given. */
  readonly irq?: number | readonly number[] | "auto";
  readonly id?: string;
  readonly properties?: Readonly<Record<string, string | number | bigint | boolean>>;
}

/** A machine. Paths are relative to the configuration's folder. Values are as on the command line. */
export interface PlantainConfig {
  /** As `-M`: `virt`, `virt,banana-rom=off`. */
  readonly board?: string;
  /**
   * `"linux"`: Plantain's Linux guest, made of Debian's packages when it is first wanted (docs/guest.md). What else is said
   * here comes in its place or is added: `append` to its kernel command line, drives and networks to its own.
   */
  readonly guest?: "linux";
  readonly harts?: number;
  /** As `-m`: `512M`. */
  readonly memory?: string;
  /** A file, `none` or `default`. */
  readonly bios?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  /** The kernel's command line. */
  readonly append?: string;
  /** As `-drive`, with the image's path in `file`. */
  readonly drives?: readonly (Readonly<Record<string, string | boolean>> & { readonly file: string })[];
  /** As `-netdev`: `user,id=net0,hostfwd=tcp::2222-:22`. */
  readonly netdevs?: readonly string[];
  readonly devices?: readonly ConfigDevice[];
  /**
   * What the guest finds when it has booted: its own absolute paths, and for each a file, a folder, or the bytes. A guest
   * of your own has to unpack it: a cpio archive on the disk with the serial number `plantain-files`.
   */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** As `-trace`. */
  readonly traces?: readonly string[];
}

/**
 * Says what type a configuration has; returns it as it is.
 * @example export default defineConfig({ kernel: "Image", devices: [{ device: "./my-device.ts", addr: 0x5000000 }] });
 */
export function defineConfig(config: PlantainConfig): PlantainConfig {
  return config;
}
