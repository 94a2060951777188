import type { DescEnumValue, DescField, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import comments from "#gen/comments.json" with { type: "json" };

const BY_NAME: Readonly<Record<string, string>> = comments;

/** What the proto says about an element; empty when it says nothing. */
export function commentOf(desc: DescService | DescMethod | DescMessage | DescField | DescEnumValue): string {
  const name = "typeName" in desc ? desc.typeName : `${desc.parent.typeName}.${desc.name}`;
  return BY_NAME[name] ?? "";
}

/** The first sentence of a comment, without its stop: "Lists scans, newest first". */
export function firstSentence(comment: string): string {
  const [first = ""] = comment.split(/(?<=[.:;])\s|\n/, 1);
  return first.replace(/[.:;]$/, "");
}
