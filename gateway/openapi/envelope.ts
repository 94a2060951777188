import { Code } from "@connectrpc/connect";
import type { Dialect, Problem } from "../dialects/dialect.ts";
import type { Schema } from "./constraints.ts";

const BODY = "the body of the reply";
const META = "what stands beside it";
const FIELD = "name of a field";

/** The schema of a reply: the dialect's envelope, found by having it wrap something, with the body's schema in its place. */
export function envelopeSchema(
  dialect: Dialect,
  reply: { status: number; message: string; body: Schema; meta: Schema | undefined },
): Schema {
  const { status, message, body, meta } = reply;
  const wrapped = dialect.wrap(JSON.stringify(BODY), { status, message, meta: meta && JSON.stringify(META) });
  return fixed(
    JSON.parse(wrapped),
    new Map([
      [BODY, body],
      [META, meta ?? {}],
    ]),
  );
}

/** The schema of an envelope whose own values never change. */
function fixed(sample: unknown, holes: ReadonlyMap<string, Schema>): Schema {
  if (typeof sample === "string") return holes.get(sample) ?? { type: "string", const: sample };
  if (typeof sample !== "object" || sample === null)
    return { type: Number.isInteger(sample) ? "integer" : typeof sample, const: sample };
  const properties = Object.fromEntries(Object.entries(sample).map(([key, value]) => [key, fixed(value, holes)]));
  return { type: "object", properties, required: Object.keys(sample) };
}

/** A status with which a call may be refused, and what it means. */
export interface Refusal {
  status: number;
  code: Code | undefined;
  reason: string;
  message: string;
  says: string;
}

/** The refusals that any API may give, by status. */
export const REFUSALS: readonly Refusal[] = [
  {
    status: 400,
    code: Code.InvalidArgument,
    reason: "INVALID_FIELD",
    message: "limit must be a whole number",
    says: "The request is wrong; the message names the field and says what is allowed.",
  },
  {
    status: 401,
    code: Code.Unauthenticated,
    reason: "UNAUTHENTICATED",
    message: "Invalid or missing API key",
    says: "There is no key, or nobody knows it.",
  },
  {
    status: 403,
    code: Code.PermissionDenied,
    reason: "PERMISSION_DENIED",
    message: "this key lacks the scope codes:read",
    says: "The key is known, but lacks the scope, is revoked, or may not be used from here.",
  },
  {
    status: 404,
    code: Code.NotFound,
    reason: "NOT_FOUND",
    message: "there is no such object",
    says: "There is no such object in the key's workspace.",
  },
  {
    status: 409,
    code: Code.AlreadyExists,
    reason: "ALREADY_EXISTS",
    message: "this name is taken",
    says: "The name is taken, or somebody else has changed the object at the same time.",
  },
  {
    status: 413,
    code: undefined,
    reason: "BODY_TOO_LARGE",
    message: "the body may have 1048576 bytes at most",
    says: "The body has too many bytes.",
  },
  {
    status: 415,
    code: undefined,
    reason: "CONTENT_TYPE_UNSUPPORTED",
    message: "Content-Type must be application/json",
    says: "The body has a content type that this endpoint does not take.",
  },
  {
    status: 429,
    code: Code.ResourceExhausted,
    reason: "RATE_LIMITED",
    message: "too many requests; try again in 3 s",
    says: "Too many requests; Retry-After says when to try again.",
  },
  {
    status: 500,
    code: Code.Internal,
    reason: "INTERNAL",
    message: "something went wrong on our side",
    says: "Something went wrong on our side; the log has it under the request's id.",
  },
  {
    status: 503,
    code: Code.Unavailable,
    reason: "OVERLOADED",
    message: "the intake queue is full; try again shortly",
    says: "Not now: nothing was taken; try again shortly.",
  },
];

/** The schema of a dialect's refusals, found by having it refuse something with and without fields. */
export function refusalSchema(dialect: Dialect): Schema {
  const [refusal] = REFUSALS as [Refusal];
  const plain = JSON.parse(dialect.error(problemOf(refusal, [])).body);
  const detailed = JSON.parse(dialect.error(problemOf(refusal, [FIELD])).body);
  return { ...loose(detailed, plain), description: `A refusal of the ${dialect.name} API.` };
}

/** One refusal as a dialect says it. */
export function refusalExample(dialect: Dialect, refusal: Refusal): { contentType: string; body: unknown } {
  const { contentType, body } = dialect.error(problemOf(refusal, refusal.status === 400 ? ["limit"] : []));
  return { contentType, body: JSON.parse(body) };
}

function problemOf({ status, code, reason, message }: Refusal, fields: readonly string[]): Problem {
  const faults = fields.map((field) => ({ field, message }));
  return { status, code, reason, message, fields: faults, requestId: "req_01JZ4T0W6X" };
}

/** The schema of a sample; what the other sample lacks is not always there. */
function loose(sample: unknown, other: unknown): Schema {
  if (Array.isArray(sample)) return { type: "array", items: loose(sample[0] ?? {}, sample[0] ?? {}) };
  if (typeof sample === "number") return { type: "integer" };
  if (typeof sample !== "object" || sample === null) return { type: typeof sample };
  const there = (typeof other === "object" && other !== null ? other : {}) as Record<string, unknown>;
  const entries = Object.entries(sample);
  const [first] = entries;
  if (first?.[0] === FIELD) return { type: "object", additionalProperties: loose(first[1], first[1]) };
  const properties = Object.fromEntries(entries.map(([key, value]) => [key, loose(value, there[key] ?? value)]));
  return {
    type: "object",
    properties,
    required: entries.map(([key]) => key).filter((key) => Object.hasOwn(there, key)),
  };
}
