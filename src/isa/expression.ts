/**
 * Integer expressions of the assembler, in 64-bit two's complement.
 *
 * The ranks of operators are the GNU assembler's, where bit operations bind tighter than sums:
 * `* / % << >>`, then `| & ^`, then `+ -`.
 */
import { UserError } from "../util/user-error.ts";

/** What an expression may look up. An undefined answer means: not known yet. */
export interface Scope {
  /** The value of a symbol, of `.`, or of a numeric label reference such as `1f`. */
  symbol(name: string): bigint | undefined;
  /** The value of `%name(argument)`. */
  relocation(name: string, argument: string): bigint | undefined;
}

const TOKEN =
  /\s*(?:(%[a-z_]+)\s*(?=\()|(0[xX][0-9a-fA-F]+|0[bB][01]+(?![0-9a-zA-Z])|[0-9]+[bf](?![0-9a-zA-Z_])|[0-9]+)|'(\\.|[^\\])'?|([A-Za-z_.$][\w.$]*)|(<<|>>|[-+*/%|&^~!()]))/y;
const RANKS: Readonly<Record<string, number>> = {
  "+": 1,
  "-": 1,
  "|": 2,
  "&": 2,
  "^": 2,
  "*": 3,
  "/": 3,
  "%": 3,
  "<<": 3,
  ">>": 3,
};
const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, b: 8, f: 12, 0: 0, "\\": 92, "'": 39, '"': 34 };
/** Parentheses and signs may nest this deep: the text is the user's, the stack is ours. */
const MAX_DEPTH = 200;

class Parser {
  private at = 0;
  private depth = 0;
  private readonly text: string;
  private readonly scope: Scope;
  private known = true;

  constructor(text: string, scope: Scope) {
    this.text = text;
    this.scope = scope;
  }

  parse(): bigint | undefined {
    const value = this.binary(1);
    if (this.text.slice(this.at).trim() !== "") throw this.error();
    return this.known ? value : undefined;
  }

  private error(): UserError {
    return new UserError(`cannot read the expression "${this.text.trim()}"`);
  }

  private next(): RegExpExecArray | null {
    TOKEN.lastIndex = this.at;
    return TOKEN.exec(this.text);
  }

  private binary(rank: number): bigint {
    let value = rank > 3 ? this.unary() : this.binary(rank + 1);
    if (rank > 3) return value;
    for (;;) {
      const operator = this.next()?.[5];
      // `%` opens a relocation elsewhere; after an operand it is the remainder.
      const text = operator ?? (/^\s*%/.test(this.text.slice(this.at)) ? "%" : "");
      if (RANKS[text] !== rank) return value;
      this.at = this.text.indexOf(text, this.at) + text.length;
      value = BigInt.asIntN(64, this.apply(text, value, this.binary(rank + 1)));
    }
  }

  private apply(operator: string, a: bigint, b: bigint): bigint {
    switch (operator) {
      case "+":
        return a + b;
      case "-":
        return a - b;
      case "*":
        return a * b;
      case "|":
        return a | b;
      case "&":
        return a & b;
      case "^":
        return a ^ b;
      case "<<":
        return b < 0n || b > 63n ? 0n : a << b;
      case ">>":
        return b < 0n || b > 63n ? 0n : BigInt.asUintN(64, a) >> b;
      default:
        if (b === 0n) {
          if (this.known) throw new UserError(`division by zero in "${this.text.trim()}"`);
          return 0n;
        }
        return operator === "/" ? a / b : a % b;
    }
  }

  private unary(): bigint {
    const token = this.next();
    if (!token || ++this.depth > MAX_DEPTH) throw this.error();
    const [all, relocation, number, character, symbol, operator] = token;
    this.at += all.length;
    let value: bigint | undefined;
    if (relocation !== undefined) value = this.scope.relocation(relocation.slice(1), this.parenthesized());
    else if (number !== undefined)
      value =
        /^0[xXbB][0-9a-fA-F]+$/.test(number) || !/[bf]$/.test(number)
          ? this.integer(number)
          : this.scope.symbol(number);
    else if (character !== undefined)
      value = BigInt(
        character[0] === "\\" ? (ESCAPES[character[1]!] ?? character.charCodeAt(1)) : character.codePointAt(0)!,
      );
    else if (symbol !== undefined) value = this.scope.symbol(symbol);
    else if (operator === "(") {
      value = this.binary(1);
      if (this.next()?.[5] !== ")") throw this.error();
      this.at = this.text.indexOf(")", this.at) + 1;
    } else if (operator === "-") value = -this.unary();
    else if (operator === "+") value = this.unary();
    else if (operator === "~") value = ~this.unary();
    else if (operator === "!") value = this.unary() === 0n ? 1n : 0n;
    else throw this.error();
    this.depth--;
    if (value === undefined) {
      this.known = false;
      return 0n;
    }
    return BigInt.asIntN(64, value);
  }

  private integer(text: string): bigint {
    if (/^0[0-7]+$/.test(text)) return BigInt(`0o${text.slice(1)}`);
    if (/^0\d/.test(text)) throw new UserError(`"${text}" is no octal number`);
    return BigInt(text);
  }

  /** The text between the parenthesis that comes now and the one that closes it. */
  private parenthesized(): string {
    const start = this.text.indexOf("(", this.at) + 1;
    let depth = 1;
    for (let i = start; i < this.text.length; i++) {
      if (this.text[i] === "(") depth++;
      else if (this.text[i] === ")" && --depth === 0) {
        this.at = i + 1;
        return this.text.slice(start, i);
      }
    }
    throw this.error();
  }
}

/**
 * The value of an expression, signed 64 bits; undefined where a symbol in it is not known yet.
 *
 * @throws UserError where the text is no expression.
 */
export const evaluate = (text: string, scope: Scope): bigint | undefined => new Parser(text, scope).parse();
