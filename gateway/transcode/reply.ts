import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import type { Dialect } from "../dialects/dialect.ts";
import type { RouteReply } from "../routes.ts";
import { publicFields } from "./names.ts";
import type { Writers } from "./writer.ts";

/** What a route says about its replies. */
export interface ReplyRules {
  desc: DescMessage;
  dialect: Dialect;
  writers: Writers;
  /** The reply field that is the body; "": the whole message. */
  responseBody: string;
  /** HTTP status from the proto; 0: the dialect's own. */
  status: number;
  /** Sentence of success. */
  message: string;
}

/** Compiles how the replies of a route are written. A google.api.HttpBody is the answer as it is, and not written here. */
export function compileReply(rules: ReplyRules): (reply: Message) => RouteReply {
  const { dialect, message } = rules;
  const status = statusOf(rules);
  if (status === 204 || isRaw(rules)) return () => ({ status, body: "" });
  const meta = metaField(rules);
  const writeMeta = meta && rules.writers.field(meta);
  const writeBody = bodyWriter(rules, meta);
  return (reply) => {
    const fields = reply as unknown as Record<string, unknown>;
    const info = { status, message, meta: writeMeta?.(fields) };
    return { status, body: dialect.wrap(writeBody(fields), info) };
  };
}

/** Whether the body of a route is a google.api.HttpBody, which carries its own content type. */
export function isRaw({ desc, responseBody }: Pick<ReplyRules, "desc" | "responseBody">): boolean {
  const body = responseBody === "" ? desc : desc.fields.find(({ name }) => name === responseBody)?.message;
  return body?.typeName === "google.api.HttpBody";
}

/** The status of success of a route. */
export function statusOf({ desc, dialect, status }: Pick<ReplyRules, "desc" | "dialect" | "status">): number {
  if (status !== 0) return status;
  return publicFields(desc).length === 0 ? dialect.emptyStatus : 200;
}

function bodyWriter(
  { desc, writers, responseBody }: ReplyRules,
  meta: DescField | undefined,
): (reply: Record<string, unknown>) => string {
  if (responseBody === "") {
    const members = writers.members(desc, meta?.name);
    return (reply) => `{${members(reply).slice(1)}}`;
  }
  const field = publicFields(desc).find((other) => other.name === responseBody);
  if (field === undefined) throw new Error(`response_body "${responseBody}" is not a field of ${desc}`);
  return writers.field(field);
}

/** The message field `meta`, where the dialect has a place for it beside the body. */
export function metaField({ desc, dialect }: Pick<ReplyRules, "desc" | "dialect">): DescField | undefined {
  const field = publicFields(desc).find((other) => other.name === "meta" && other.fieldKind === "message");
  const probe = dialect.wrap("0", { status: 200, message: "", meta: '"beside the body"' });
  return probe.includes("beside the body") ? field : undefined;
}
