/**
 * Control flow as WebAssembly has it: from a graph of blocks to nested loops and blocks, by the dominator tree
 * (Ramsey, "Beyond Relooper", ICFP 2022, section 4). Edges into the middle of a loop cannot be expressed; they are
 * reported as irreducible, and the caller leaves the region there.
 */

/** What the code generator needs to know of a graph whose nodes are numbers. */
export interface Structure {
  /** The nodes in reverse postorder. */
  readonly order: readonly number[];
  /** Dominator-tree children that several forward edges reach, those that come last first. */
  readonly merges: ReadonlyMap<number, readonly number[]>;
  readonly loops: ReadonlySet<number>;
  isMerge(node: number): boolean;
  isBack(from: number, to: number): boolean;
  isIrreducible(from: number, to: number): boolean;
}

/** Analyses the graph reachable from `entry`. */
export function structureOf(entry: number, successors: (node: number) => readonly number[]): Structure {
  // Reverse postorder, without recursion: hostile code may make long chains.
  const order: number[] = [];
  const seen = new Set<number>([entry]);
  const stack: { node: number; rest: number[] }[] = [{ node: entry, rest: [...successors(entry)] }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const next = top.rest.shift();
    if (next === undefined) {
      order.push(top.node);
      stack.pop();
    } else if (!seen.has(next)) {
      seen.add(next);
      stack.push({ node: next, rest: [...successors(next)] });
    }
  }
  order.reverse();
  const number = new Map(order.map((node, i) => [node, i]));
  const predecessors = new Map<number, number[]>(order.map((node) => [node, []]));
  for (const node of order) for (const to of successors(node)) predecessors.get(to)!.push(node);

  // Dominators (Cooper, Harvey, Kennedy): indices into `order`.
  const idom = new Int32Array(order.length).fill(-1);
  idom[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < order.length; i++) {
      let best = -1;
      for (const p of predecessors.get(order[i]!)!) {
        let a = number.get(p)!;
        if (idom[a] === -1) continue;
        if (best === -1) {
          best = a;
          continue;
        }
        let b = best;
        while (a !== b) {
          while (a > b) a = idom[a]!;
          while (b > a) b = idom[b]!;
        }
        best = a;
      }
      if (idom[i] !== best) {
        idom[i] = best;
        changed = true;
      }
    }
  }
  const dominates = (a: number, b: number): boolean => {
    let i = b;
    while (i > a) i = idom[i]!;
    return i === a;
  };

  const loops = new Set<number>();
  const irreducible = new Set<string>();
  const forwardEdges = new Int32Array(order.length);
  for (const node of order) {
    for (const to of successors(node)) {
      const from = number.get(node)!;
      const target = number.get(to)!;
      if (target > from) forwardEdges[target]!++;
      else if (dominates(target, from)) loops.add(to);
      else irreducible.add(`${node},${to}`);
    }
  }
  const merges = new Map<number, number[]>();
  for (let i = order.length - 1; i > 0; i--) {
    if (forwardEdges[i]! < 2) continue;
    const parent = order[idom[i]!]!;
    const list = merges.get(parent);
    if (list) list.push(order[i]!);
    else merges.set(parent, [order[i]!]);
  }
  return {
    order,
    merges,
    loops,
    isMerge: (node) => forwardEdges[number.get(node)!]! >= 2,
    isBack: (from, to) => number.get(to)! <= number.get(from)!,
    isIrreducible: (from, to) => irreducible.has(`${from},${to}`),
  };
}
