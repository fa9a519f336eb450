export function makeBundle(root: string): Promise<void>;
