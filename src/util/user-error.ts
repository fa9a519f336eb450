// The error for a mistake of the user's: a wrong option, file, name or value.

/**
 * A mistake that the user can mend, told in one line: what was wrong, where (option or file), what was expected.
 *
 * The command line prints `plantain: <message>` and exits with status 1; every other kind of error is a bug in
 * Plantain or in a device model and is shown with its stack.
 */
export class UserError extends Error {
  override readonly name = "UserError";
}
