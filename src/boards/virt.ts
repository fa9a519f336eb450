// The `virt` board as users get it: QEMU's board with a banana ROM on it, as in the article "Writing a custom device for
// QEMU". Without this import of the ROM and its entry among the parts, no board and no bundle contains it.

import { virtioBlkType } from "../hw/block/virtio-blk.ts";
import { bananaRomType, createBananaRom } from "../hw/misc/banana-rom.ts";
import { virtioNetType } from "../hw/net/virtio-net.ts";
import { virtioRngType } from "../hw/virtio/virtio-rng.ts";
import type { BoardInfo } from "./board.ts";
import { type OptionalPart, virtBoardWith } from "./virt-machine.ts";

const BANANA_ROM_BASE = 0x400_0000n;

const bananaRomPart: OptionalPart = {
  name: "banana-rom",
  description: "the banana ROM at 0x4000000",
  type: bananaRomType,
  default: true,
  create: (host, system) => createBananaRom(host, system, BANANA_ROM_BASE),
};

/** The board that `-M virt` names. */
export const virtBoard: BoardInfo = virtBoardWith([bananaRomPart], [virtioBlkType, virtioNetType, virtioRngType]);
