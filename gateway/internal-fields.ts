import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { fieldRules } from "./transcode/names.ts";

/**
 * Makes what empties the fields of a message that are between Waymark's own processes only, at every depth. REST leaves
 * them out by itself; Connect needs this. Messages of a type that cannot hold any are not walked.
 */
export function internalStripper(desc: DescMessage): (message: Message) => void {
  if (!canHold(desc, new Set())) return () => {};
  return (message) => strip(reflect(desc, message));
}

function canHold(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  return desc.fields.some((field) => fieldRules(field).internal || (field.message && canHold(field.message, seen)));
}

function strip(message: ReflectMessage): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (fieldRules(field).internal) message.clear(field);
    else if (field.fieldKind === "message") strip(message.get(field));
    else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) strip(item as ReflectMessage);
    } else if (field.fieldKind === "map" && field.mapKind === "message") {
      for (const item of message.get(field).values()) strip(item as ReflectMessage);
    }
  }
}
