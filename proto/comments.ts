import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

/**
 * Writes gen/comments.json: what the protos of Waymark say about each element, by its full name. Generated code has no
 * comments at run time, and the API's documents are made of them. `npm run generate` runs this after buf.
 */

/** An element with the path at which source info keeps its comment. Enum values count as members of their enum. */
type Named = [name: string, path: readonly number[]];

/** Field numbers of descriptor.proto. */
const FILE = { message: 4, enum: 5, service: 6 };
const MESSAGE = { field: 2, message: 3, enum: 4 };

function enumElements({ name, value }: EnumDescriptorProto, [prefix, path]: Named): Named[] {
  const full = `${prefix}.${name}`;
  return [[full, path], ...value.map((one, index): Named => [`${full}.${one.name}`, [...path, 2, index]])];
}

function messageElements(message: DescriptorProto, [prefix, path]: Named): Named[] {
  const full = `${prefix}.${message.name}`;
  return [
    [full, path],
    ...message.field.map((field, index): Named => [`${full}.${field.name}`, [...path, MESSAGE.field, index]]),
    ...message.nestedType.flatMap((inner, index) => messageElements(inner, [full, [...path, MESSAGE.message, index]])),
    ...message.enumType.flatMap((inner, index) => enumElements(inner, [full, [...path, MESSAGE.enum, index]])),
  ];
}

function fileElements(file: FileDescriptorProto): Named[] {
  const services = file.service.flatMap(({ name, method }, index): Named[] => {
    const full = `${file.package}.${name}`;
    const path = [FILE.service, index];
    return [[full, path], ...method.map((rpc, place): Named => [`${full}.${rpc.name}`, [...path, 2, place]])];
  });
  return [
    ...services,
    ...file.messageType.flatMap((one, index) => messageElements(one, [file.package, [FILE.message, index]])),
    ...file.enumType.flatMap((one, index) => enumElements(one, [file.package, [FILE.enum, index]])),
  ];
}

/** Lines of a paragraph are one line; paragraphs stay apart, and so do the items of a list. */
function flow(comment: string): string {
  const lines = comment.split("\n").map((line) => line.trim());
  return lines
    .join("\n")
    .trim()
    .replace(/(?<!\n)\n(?!\n|[-*] )/g, " ");
}

function fileComments(file: FileDescriptorProto): [string, string][] {
  const byPath = new Map(file.sourceCodeInfo?.location.map((at) => [at.path.join(","), at.leadingComments]));
  return fileElements(file).flatMap(([name, path]): [string, string][] => {
    const comment = flow(byPath.get(path.join(",")) ?? "");
    return comment === "" ? [] : [[name, comment]];
  });
}

/** The comments of Waymark's own protos, sorted by name. */
export function readComments(): Record<string, string> {
  const args = ["buf", "build", "proto", "--as-file-descriptor-set", "-o", "-"];
  const bytes = execFileSync("npx", args, { maxBuffer: 1 << 28, cwd: new URL("..", import.meta.url) });
  const { file } = fromBinary(FileDescriptorSetSchema, bytes);
  const own = file.filter(({ package: name }) => name.startsWith("waymark."));
  return Object.fromEntries(own.flatMap(fileComments).sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (import.meta.main) {
  const target = new URL("gen/comments.json", import.meta.url);
  writeFileSync(target, `${JSON.stringify(readComments(), undefined, 1)}\n`);
}
