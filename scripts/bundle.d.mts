export function makeBundle(root: string): Promise<void>;
export function makeBundleMeanwhile(root: string): void;
