// An interrupt line, the only thing that devices and harts know of each other.

/** The receiving end of an interrupt line: called with the level whenever its driver sets it. */
export type IrqLine = (level: boolean) => void;
