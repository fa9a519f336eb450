// Writer of ext2 file systems: one block group of 4 KiB blocks, revision 1 with typed directory entries, no journal
// (layout: kernel documentation, filesystems/ext2 and ext4 "Data Structures"). Needs no tool and no root of the host,
// and gives the same bytes for the same tree.

import { contentOf, modeOf, type TreeEntry } from "./tree.ts";

const BLOCK = 4096;
const POINTERS = BLOCK / 4;
const DIRECT_BLOCKS = 12;
const INODE_SIZE = 256;
/** Bytes of an inode beyond the 128 of revision 0 that are in use: without them times end in 2038. */
const EXTRA_INODE_SIZE = 32;
const ROOT_INODE = 2;
const FIRST_INODE = 11;
/** Every time stamp: 2025-01-01, in seconds since 1970. Zero would read as "deleted" or "never". */
const TIME = 1735689600;
/** One bitmap block describes a group, so a single group ends here. */
const MAX_BLOCKS = BLOCK * 8;
const FILE_TYPE = { file: 1, directory: 2, character: 3, symlink: 7 } as const;
const UUID = [0x70, 0x6c, 0x61, 0x6e, 0x74, 0x61, 0x4e, 0x69, 0xa1, 0x6e, 0x72, 0x6f, 0x6f, 0x74, 0x66, 0x73];

interface Node {
  readonly entry: TreeEntry;
  readonly inode: number;
  readonly children: { name: string; node: Node }[];
  readonly parent: Node | undefined;
}

/**
 * Encodes a tree as a file system of `size` bytes and returns the part of it that is in use; the rest of the disk is zeros.
 *
 * @param size bytes of the whole disk, a multiple of 4096, at most 128 MiB
 * @throws RangeError when the tree does not fit, Error when an entry's parent is missing
 */
export function encodeExt2(entries: readonly TreeEntry[], size: number): Uint8Array {
  const blocks = size / BLOCK;
  if (!Number.isInteger(blocks) || blocks > MAX_BLOCKS) throw new RangeError(`no single ext2 group has ${size} bytes`);
  const nodes = buildNodes(entries);
  const inodesPerBlock = BLOCK / INODE_SIZE;
  // As many inodes again for what the guest creates.
  const inodes = Math.ceil((nodes.length * 2 + 1024) / inodesPerBlock) * inodesPerBlock;
  const inodeTable = 4;
  const firstData = inodeTable + inodes / inodesPerBlock;
  const image = new ImageBuilder(firstData, blocks);

  for (const node of nodes) {
    const inode = new DataView(new ArrayBuffer(INODE_SIZE));
    writeInode(inode, node, image);
    image.put(inodeTable * BLOCK + (node.inode - 1) * INODE_SIZE, new Uint8Array(inode.buffer));
  }

  const usedInodes = FIRST_INODE - 1 + nodes.length - 1;
  const directories = nodes.filter((node) => node.entry.kind === "directory").length;
  image.put(2 * BLOCK, bitmap(image.nextBlock, blocks));
  image.put(3 * BLOCK, bitmap(usedInodes, inodes));
  const counts = { blocks, inodes, freeBlocks: blocks - image.nextBlock, freeInodes: inodes - usedInodes };
  image.put(1024, superblock(counts));
  const group = new DataView(new ArrayBuffer(32));
  group.setUint32(0, 2, true); // bg_block_bitmap
  group.setUint32(4, 3, true); // bg_inode_bitmap
  group.setUint32(8, inodeTable, true);
  group.setUint16(12, counts.freeBlocks, true);
  group.setUint16(14, counts.freeInodes, true);
  group.setUint16(16, directories, true);
  image.put(BLOCK, new Uint8Array(group.buffer));
  return image.bytes();
}

/** Numbers the entries: the root is inode 2, lost+found (which every checker looks for) is 11, the rest follow. */
function buildNodes(entries: readonly TreeEntry[]): Node[] {
  const root: Node = { entry: { kind: "directory", path: "" }, inode: ROOT_INODE, children: [], parent: undefined };
  const byPath = new Map([["", root]]);
  const nodes = [root];
  for (const entry of [{ kind: "directory", path: "lost+found", mode: 0o700 } as const, ...entries]) {
    const slash = entry.path.lastIndexOf("/");
    const parent = byPath.get(entry.path.slice(0, Math.max(slash, 0)));
    if (parent?.entry.kind !== "directory") throw new Error(`${entry.path}: its folder is not in the tree before it`);
    if (byPath.has(entry.path)) throw new Error(`${entry.path}: twice in the tree`);
    const node: Node = { entry, inode: FIRST_INODE + nodes.length - 1, children: [], parent };
    parent.children.push({ name: entry.path.slice(slash + 1), node });
    byPath.set(entry.path, node);
    nodes.push(node);
  }
  return nodes;
}

class ImageBuilder {
  nextBlock: number;
  readonly #limit: number;
  readonly #pieces: { offset: number; bytes: Uint8Array }[] = [];

  constructor(firstBlock: number, limit: number) {
    this.nextBlock = firstBlock;
    this.#limit = limit;
  }

  allocate(): number {
    if (this.nextBlock >= this.#limit) throw new RangeError(`the tree does not fit into ${this.#limit * BLOCK} bytes`);
    return this.nextBlock++;
  }

  put(offset: number, bytes: Uint8Array): void {
    this.#pieces.push({ offset, bytes });
  }

  bytes(): Uint8Array {
    const image = new Uint8Array(this.nextBlock * BLOCK);
    for (const piece of this.#pieces) image.set(piece.bytes, piece.offset);
    return image;
  }
}

function writeInode(inode: DataView, node: Node, image: ImageBuilder): void {
  const { entry } = node;
  const data = entry.kind === "directory" ? directoryBlocks(node) : contentOf(entry);
  const subfolders = node.children.filter((child) => child.node.entry.kind === "directory").length;
  inode.setUint16(0, modeOf(entry), true);
  inode.setUint32(4, data.length, true);
  for (const time of [8, 12, 16]) inode.setUint32(time, TIME, true); // i_atime, i_ctime, i_mtime
  inode.setUint16(26, entry.kind === "directory" ? 2 + subfolders : 1, true);
  inode.setUint16(128, EXTRA_INODE_SIZE, true);
  if (entry.kind === "character") {
    inode.setUint32(40, (entry.major << 8) | entry.minor, true);
  } else if (entry.kind === "symlink" && data.length < 60) {
    new Uint8Array(inode.buffer).set(data, 40); // a short target lives in the inode itself
  } else {
    const used = writeBlocks(inode, data, image);
    inode.setUint32(28, used * (BLOCK / 512), true);
  }
}

/** Stores the data, in one run of blocks with the pointer blocks that reach them; returns how many blocks that took. */
function writeBlocks(inode: DataView, data: Uint8Array, image: ImageBuilder): number {
  const before = image.nextBlock;
  const pending = Math.ceil(data.length / BLOCK);
  let done = 0;
  const dataBlock = (): number => {
    const block = image.allocate();
    image.put(block * BLOCK, data.subarray(done * BLOCK, (done + 1) * BLOCK));
    done++;
    return block;
  };
  const pointerBlock = (depth: number): number => {
    const block = image.allocate();
    const pointers = new DataView(new ArrayBuffer(BLOCK));
    for (let i = 0; i < POINTERS && done < pending; i++) {
      pointers.setUint32(i * 4, depth === 1 ? dataBlock() : pointerBlock(depth - 1), true);
    }
    image.put(block * BLOCK, new Uint8Array(pointers.buffer));
    return block;
  };
  for (let i = 0; i < DIRECT_BLOCKS && done < pending; i++) inode.setUint32(40 + i * 4, dataBlock(), true);
  for (let depth = 1; depth <= 2 && done < pending; depth++) {
    inode.setUint32(40 + (DIRECT_BLOCKS + depth - 1) * 4, pointerBlock(depth), true);
  }
  return image.nextBlock - before;
}

/** Directory entries, none of which crosses a block; the last one of a block reaches to its end. */
function directoryBlocks(node: Node): Uint8Array {
  const text = new TextEncoder();
  const entries = [{ name: ".", node }, { name: "..", node: node.parent ?? node }, ...node.children].map(
    ({ name, node: target }) => ({ name: text.encode(name), inode: target.inode, type: FILE_TYPE[target.entry.kind] }),
  );
  const lengthOf = (name: Uint8Array): number => 8 + Math.ceil(name.length / 4) * 4;
  const starts: number[] = [];
  let end = 0;
  for (const { name } of entries) {
    if (Math.floor((end + lengthOf(name) - 1) / BLOCK) !== Math.floor(end / BLOCK))
      end = Math.ceil(end / BLOCK) * BLOCK;
    starts.push(end);
    end += lengthOf(name);
  }
  const bytes = new Uint8Array(Math.ceil(end / BLOCK) * BLOCK);
  const view = new DataView(bytes.buffer);
  entries.forEach(({ name, inode, type }, index) => {
    const start = starts[index]!;
    const next = starts[index + 1] ?? bytes.length;
    view.setUint32(start, inode, true);
    view.setUint16(start + 4, next - start, true);
    view.setUint8(start + 6, name.length);
    view.setUint8(start + 7, type);
    bytes.set(name, start + 8);
  });
  return bytes;
}

/** A block with its first `used` bits set, and those beyond `total`, which stand for nothing. */
function bitmap(used: number, total: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  for (let bit = 0; bit < BLOCK * 8; bit++) if (bit < used || bit >= total) bytes[bit >> 3]! |= 1 << (bit & 7);
  return bytes;
}

function superblock(counts: { blocks: number; inodes: number; freeBlocks: number; freeInodes: number }): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  const words: readonly (readonly [offset: number, value: number])[] = [
    [0, counts.inodes],
    [4, counts.blocks],
    [12, counts.freeBlocks],
    [16, counts.freeInodes],
    [20, 0], // s_first_data_block
    [24, 2], // s_log_block_size: 1024 << 2
    [28, 2], // s_log_frag_size
    [32, MAX_BLOCKS], // s_blocks_per_group
    [36, MAX_BLOCKS], // s_frags_per_group
    [40, counts.inodes], // s_inodes_per_group
    [48, TIME], // s_wtime
    [64, TIME], // s_lastcheck
    [76, 1], // s_rev_level
    [84, FIRST_INODE],
    [96, 0x2], // s_feature_incompat: FILETYPE
    [100, 0x3], // s_feature_ro_compat: SPARSE_SUPER, LARGE_FILE
  ];
  const halves: readonly (readonly [offset: number, value: number])[] = [
    [54, 0xffff], // s_max_mnt_count: never checked for the number of mounts
    [56, 0xef53], // s_magic
    [58, 1], // s_state: clean
    [60, 1], // s_errors: go on
    [88, INODE_SIZE],
    [348, EXTRA_INODE_SIZE], // s_min_extra_isize
    [350, EXTRA_INODE_SIZE], // s_want_extra_isize
  ];
  for (const [offset, value] of words) view.setUint32(offset, value, true);
  for (const [offset, value] of halves) view.setUint16(offset, value, true);
  bytes.set(UUID, 104);
  bytes.set(new TextEncoder().encode("plantain"), 120); // s_volume_name
  return bytes;
}
