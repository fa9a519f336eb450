// The words that plantain takes in place of options: `plantain new my-device`. What each does is loaded when it is wanted.

import type { CommandEnvironment } from "../run-command.ts";

/** What a word has of the command's environment. */
export type CommandOutput = Pick<CommandEnvironment, "writeOutput" | "writeError" | "version">;

/** A word, and what help says of it. */
export interface Command {
  readonly name: string;
  /** What follows the name. */
  readonly form: string;
  readonly help: string;
  /** The rest of what `plantain NAME --help` says, in lines. */
  readonly details: readonly string[];
  /** @throws UserError in one line */
  run(words: readonly string[], output: CommandOutput): Promise<void>;
}

export const COMMANDS: readonly Command[] = [
  {
    name: "new",
    form: "NAME",
    help: "make a folder with a device, its tests, a machine for it and a Linux driver",
    details: [
      "NAME is the device's name, in small letters, digits and hyphens, or a path that ends in it.",
      "The folder is ready to use: `plantain` in it boots Linux with the device on the board, `npm test` runs its tests.",
    ],
    run: async (words, output) => (await import("./new.ts")).newDevice(words, output),
  },
  {
    name: "header",
    form: "FILE[#EXPORT] [HEADER]",
    help: "print a C header of the registers of the device that a file defines, or write it to HEADER",
    details: ["For regmap, FIELD_GET and FIELD_PREP of Linux, and for code without an operating system."],
    run: async (words, output) => (await import("./header.ts")).header(words, output),
  },
  {
    name: "module",
    form: "FOLDER",
    help: "build the kernel modules that FOLDER is the source of, for Plantain's Linux guest",
    details: [
      "FOLDER has a Makefile with `obj-m := NAME.o`; NAME.ko is put there, and nothing else is changed.",
      "What it takes comes from Debian's packages, into ~/.cache/plantain, without installing anything.",
    ],
    run: async (words, output) => (await import("./module.ts")).module(words, output),
  },
  {
    name: "program",
    form: "FILE.c [OUTPUT]",
    help: "compile a program for Plantain's Linux guest; OUTPUT is FILE unless given",
    details: [
      "There is no C library: the program begins at _start and calls the kernel itself.",
      "The compiler is the one that modules are built with.",
    ],
    run: async (words, output) => (await import("./program.ts")).program(words, output),
  },
  {
    name: "assemble",
    form: "FILE.s [OUTPUT]",
    help: "assemble a program without an operating system, for -bios none -kernel OUTPUT; that is FILE.bin unless given",
    details: [
      "It begins at 0x80000000 in machine mode. The language is the GNU assembler's, with one section and no macros.",
    ],
    run: async (words, output) => (await import("./assemble.ts")).assembleFile(words, output),
  },
];

/** Whether a command line begins with a word, and which. */
export function findCommandWord(words: readonly string[]): Command | undefined {
  return COMMANDS.find(({ name }) => name === words[0]);
}

/** Does what a word says. @throws UserError for a mistake */
export async function runCommandWord(command: Command, words: readonly string[], output: CommandOutput): Promise<void> {
  if (words.some((word) => /^--?h(elp)?$/.test(word))) output.writeOutput(helpOf(command));
  else await command.run(words, output);
}

function helpOf({ name, form, help, details }: Command): string {
  return `${[`usage: plantain ${name} ${form}`, "", `${help[0]!.toUpperCase()}${help.slice(1)}.`, ...details].join("\n")}\n`;
}
