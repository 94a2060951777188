import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { Audience } from "#gen/waymark/options/v1/options_pb.ts";
import type { Dialect } from "../../gateway/dialects/dialect.ts";
import { dialects } from "../../gateway/dialects/table.ts";
import { compileRoutes, type Route } from "../../gateway/routes.ts";
import { bodyName, fieldRules, publicFields, queryName } from "../../gateway/transcode/names.ts";
import { contract } from "../../services/contract.ts";
import type { Answer } from "../support/waymark.ts";
import type { Ids } from "./one-of-each.ts";

/** Every operation of every REST API that Waymark serves. */
export function allOperations(): readonly Route[] {
  return compileRoutes(contract, dialects).routes;
}

/** "POST /v1/scans" */
export const nameOf = ({ method, path }: Route): string => `${method} ${path}`;

/** Whether only an admin may call it. */
export const isForAdmins = ({ rules }: Route): boolean => rules.scopes.every((scope) => scope === "admin");

/** Whether anyone may call it without a key. */
export const isPublic = ({ rules }: Route): boolean => rules.audience === Audience.ANYONE;

/** Whether the path names an object. */
export const hasVariable = ({ template }: Route): boolean => template.variables.length > 0;

/** The path with ids in it, each by the segment before it. */
export function pathOf({ path }: Route, ids: Ids | ((segment: string) => string)): string {
  const idOf = typeof ids === "function" ? ids : (segment: string): string => ids[segment] as string;
  return path.replace(/([^/]+)\/\{[^}]+\}/g, (_whole, segment: string) => `${segment}/${idOf(segment)}`);
}

/** Something wrong in a body, and how the answer must name it. */
export interface Wrong {
  field: string;
  body: Record<string, unknown>;
}

/** Fields that take any JSON and are judged by the service, with a value that it must refuse. */
const FREE: Readonly<Record<string, unknown>> = {
  description: 7,
  lost_message: 7,
  reward: "much",
  photos: "one",
  expires_at: "never",
  welcome_message: 7,
  template: "circus",
  destination: 7,
  routing: "left",
  ip_allow_list: "everywhere",
  origins: "everywhere",
};

/** A body for each field of an operation, in which that field has a value of a wrong type. */
export function wrongBodies({ rpc, body, dialect, template }: Route): Wrong[] {
  if (body !== "*") return [];
  const taken = new Set(template.variables.map(({ fieldPath }) => fieldPath[0]));
  return wrongFields(rpc.input, { dialect, depth: 0 }).filter(({ root }) => !taken.has(root));
}

interface Within {
  dialect: Dialect;
  depth: number;
}

function wrongFields(desc: DescMessage, within: Within): (Wrong & { root: string })[] {
  return publicFields(desc).flatMap((field) => {
    const name = bodyName(field, within.dialect);
    return wrongValues(field, within).map(([path, value]) => ({
      root: field.name,
      field: `${name}${path}`,
      body: { [name]: value },
    }));
  });
}

/** Wrong values of a field, each with the path from the field down to what is wrong. */
function wrongValues(field: DescField, within: Within): [string, unknown][] {
  if (field.fieldKind === "map") return [["", "text"]];
  const single = wrongSingle(field, within);
  if (field.fieldKind !== "list") return single;
  if (fieldRules(field).faultsField !== "") return [["", "text"]];
  return [["", "text"], ...single.map(([path, value]): [string, unknown] => [`[0]${path}`, [value]])];
}

function wrongSingle(field: DescField, within: Within): [string, unknown][] {
  if (field.enum !== undefined) return [["", "BANANA"]];
  if (field.scalar !== undefined) return [["", field.scalar === ScalarType.STRING ? 7 : "many"]];
  const { message } = field;
  if (message === undefined) return [];
  if (message.typeName === "google.protobuf.Value") {
    const wrong = FREE[field.name];
    return wrong === undefined ? [] : [["", wrong]]; // else any JSON is right
  }
  if (message.typeName === "google.protobuf.Timestamp") return [["", "yesterday"]];
  if (message.typeName.startsWith("google.protobuf.")) return [["", "text"]];
  if (within.depth > 4) return [["", "text"]];
  const inner = wrongFields(message, { ...within, depth: within.depth + 1 });
  return [["", "text"], ...inner.map(({ field: path, body }): [string, unknown] => [`.${path}`, body])];
}

/** Query parameters of an operation that are not free text, each with a value that it cannot have. */
export function wrongQueries({ rpc, body, dialect, template }: Route): { field: string; query: string }[] {
  if (body === "*") return [];
  const taken = new Set(template.variables.map(({ fieldPath }) => fieldPath[0]));
  return publicFields(rpc.input).flatMap((field) => {
    const isTime = field.message?.typeName === "google.protobuf.Timestamp";
    const isTyped = field.enum !== undefined || isTime || (field.scalar ?? ScalarType.STRING) !== ScalarType.STRING;
    const name = queryName(field, dialect);
    return taken.has(field.name) || !isTyped ? [] : [{ field: name, query: `${name}=BANANA` }];
  });
}

/** How the body of a refusal looks in each API. */
const SHAPES: Readonly<Record<string, object>> = {
  scans: {
    type: "about:blank",
    title: expect.any(String),
    status: expect.any(Number),
    detail: expect.any(String),
    code: expect.any(String),
    request_id: expect.any(String),
  },
  platform: {
    type: "about:blank",
    title: expect.any(String),
    status: expect.any(Number),
    detail: expect.any(String),
    code: expect.any(String),
    requestId: expect.any(String),
  },
  impressions: { error: expect.any(String), message: expect.any(String) },
  tags: { success: false, error: { code: expect.stringMatching(/^[A-Z_]+$/), message: expect.any(String) } },
  analytics: {
    error: {
      code: expect.any(Number),
      codeType: expect.stringMatching(/^[A-Z_]+$/),
      message: expect.any(String),
      details: expect.any(Array),
    },
  },
  touchpoints: { statusCode: expect.any(Number), message: expect.any(String) },
};

/** Checks that an answer is a refusal in the words of its API, and tells nothing of how we are built. */
export function expectRefusal(answer: Answer, { operation, status }: { operation: Route; status: number }): void {
  const name = nameOf(operation);
  expect([name, answer.status, answer.text]).toEqual([name, status, expect.any(String)]);
  expect(answer.body, name).toMatchObject(SHAPES[operation.dialect.name] as object);
  expect(answer.headers.get("x-request-id"), name).toBeTruthy();
  expect(answer.text, name).not.toMatch(/\.ts:\d+|node_modules| {4}at |SQLITE|SqliteError|TypeError/);
}
