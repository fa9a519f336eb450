// The object model as text: the composition tree and a type's properties, as the monitor and `-device TYPE,help`
// show them.

import type { QomObject } from "./object.ts";
import { defaultValue, isReference, type PropertyInfo } from "./property.ts";
import { propertiesOf, type TypeInfo } from "./type-info.ts";

/** The composition tree from `object` down, one object a line with its type: `info qom-tree`. */
export function renderTree(object: QomObject): string {
  const lines: string[] = [];
  const visit = (part: QomObject, depth: number): void => {
    lines.push(`${"  ".repeat(depth)}/${part.pathComponent} (${part.typeInfo.name})`);
    const names = [...part.children.keys()].sort();
    for (const name of names) visit(part.children.get(name)!, depth + 1);
  };
  visit(object, 0);
  return lines.join("\n");
}

/** What a type can be given, one property a line: `-device TYPE,help`. */
export function renderProperties(type: TypeInfo): string {
  const properties = propertiesOf(type);
  if (properties.size === 0) return `There are no options for ${type.name}.`;
  const lines = [`${type.name} options:`];
  for (const [name, info] of properties) lines.push(renderProperty(name, info));
  return lines.join("\n");
}

function renderProperty(name: string, info: PropertyInfo): string {
  const type = info.type === "enum" ? (info.values ?? []).join("|") : info.type;
  const description = info.description ?? (info.type === "bool" ? "on/off" : "");
  const preset = isReference(info.type) ? "" : `(default: ${renderValue(info)})`;
  const remark = [description, preset].filter((part) => part !== "").join(" ");
  const head = `  ${name}=<${type}>`;
  return remark === "" ? head : `${head.padEnd(24)} - ${remark}`;
}

function renderValue(info: PropertyInfo): string {
  const value = defaultValue(info);
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "string" ? `"${value}"` : String(value);
}
