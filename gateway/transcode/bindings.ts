import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { http } from "#gen/google/api/annotations_pb.ts";
import type { HttpRule } from "#gen/google/api/http_pb.ts";
import { Audience, method as methodOption, service as serviceOption } from "#gen/waymark/options/v1/options_pb.ts";
import type { Dialect } from "../dialects/dialect.ts";
import type { Route } from "../routes.ts";
import { type BodyPlan, planLines, readBody } from "./body.ts";
import { refuseFaults, startReading } from "./fault.ts";
import { createFieldNaming } from "./field-path.ts";
import { type Finding, findParameter, type Parameter, readPath, readQuery } from "./parameters.ts";
import { createPlans, type Plans, type Slot } from "./reader.ts";
import { compileReply } from "./reply.ts";
import { parseTemplate } from "./template.ts";
import { createWriters, type Writers } from "./writer.ts";

const DEFAULT_BODY_BYTES = 1 << 20;

/** What all routes of a dialect share. */
export interface Codec {
  dialect: Dialect;
  planOf: Plans;
  writers: Writers;
  /** Those for clients that want numbers; made when the first one comes. */
  numberWriters: () => Writers;
}

/** Makes what all routes of a dialect share. */
export function createCodec(dialect: Dialect): Codec {
  let numbers: Writers | undefined;
  const numberWriters = (): Writers => {
    numbers ??= createWriters({ ...dialect, int64AsString: false, isAllNumbers: true });
    return numbers;
  };
  return { dialect, planOf: createPlans(dialect), writers: createWriters(dialect), numberWriters };
}

/** Compiles the routes of one service. What is wrong with its contract is added to `problems`. */
export function readBindings(service: DescService, codecs: ReadonlyMap<number, Codec>, problems: string[]): Route[] {
  const dialect = hasOption(service, serviceOption) ? getOption(service, serviceOption).dialect : 0;
  const codec = codecs.get(dialect);
  if (dialect !== 0 && codec === undefined) problems.push(`${service.typeName}: dialect ${dialect} is not known`);
  return service.methods.flatMap((rpc) => {
    const label = labelOf(rpc);
    const faults = methodFaults(rpc, dialect !== 0);
    problems.push(...faults.map((text) => `${label} ${text}`));
    if (codec === undefined || faults.length > 0 || !hasOption(rpc, http)) return [];
    const rule = getOption(rpc, http);
    return [rule, ...rule.additionalBindings].flatMap((binding) => {
      try {
        return [compileRoute(rpc, binding, codec)];
      } catch (error) {
        problems.push(`${label}: ${(error as Error).message}`);
        return [];
      }
    });
  });
}

function labelOf(rpc: DescMethod): string {
  return `${rpc.parent.typeName}.${rpc.name}`;
}

function methodFaults(rpc: DescMethod, hasDialect: boolean): string[] {
  const { audience, scopes } = getOption(rpc, methodOption);
  const hasRule = hasOption(rpc, http);
  if (audience === Audience.INTERNAL) return hasRule ? ["is internal and must not have google.api.http"] : [];
  if (!hasDialect) return hasRule ? ["has google.api.http, but its service has no dialect"] : [];
  const faults: string[] = [];
  if (!hasRule) faults.push("is public and needs google.api.http");
  if (scopes.length === 0 && audience !== Audience.ANYONE) faults.push("needs scopes, or AUDIENCE_ANYONE");
  if (rpc.methodKind !== "unary" && rpc.methodKind !== "server_streaming")
    faults.push("streams requests, which REST cannot");
  return faults;
}

function compileRoute(rpc: DescMethod, binding: HttpRule, codec: Codec): Route {
  const { method, path } = patternOf(binding);
  const { dialect, planOf, writers } = codec;
  const stated = getOption(rpc, methodOption);
  const rules = {
    ...stated,
    rateClass: stated.rateClass || "default",
    maxBodyBytes: stated.maxBodyBytes || DEFAULT_BODY_BYTES,
  };
  const template = parseTemplate(path);
  const { responseBody, body } = binding;
  const { status, message } = stated;
  const finding: Finding = { plan: planOf(rpc.input), planOf, dialect };
  const parameters = template.variables.map((variable) => pathParameter(variable.fieldPath, finding));
  const common = { body, template, parameters, finding };
  const replying = { desc: rpc.output, dialect, responseBody, status, message };
  const write = compileReply({ ...replying, writers });
  let writeNumbers: Route["write"] | undefined;
  return {
    method,
    path,
    template,
    service: rpc.parent,
    rpc,
    rules,
    dialect,
    body,
    responseBody,
    label: labelOf(rpc),
    read: compileRead({ ...common, ndjsonField: rules.ndjsonField }),
    write,
    writeFor: (userAgent) => {
      if (dialect.wantsNumbers?.(userAgent) !== true) return write;
      writeNumbers ??= compileReply({ ...replying, writers: codec.numberWriters() });
      return writeNumbers;
    },
    nameOf: createFieldNaming(rpc.input, { dialect, body, pathFields: parameters.map(({ protoPath }) => protoPath) }),
  };
}

function patternOf({ pattern }: HttpRule): { method: string; path: string } {
  if (pattern.case === undefined) throw new Error("google.api.http has no path");
  if (pattern.case === "custom") return { method: pattern.value.kind, path: pattern.value.path };
  return { method: pattern.case.toUpperCase(), path: pattern.value };
}

function pathParameter(fieldPath: readonly string[], finding: Finding): Parameter {
  const name = fieldPath.join(".");
  const parameter = findParameter(name, finding);
  if (parameter === undefined || parameter.repeated || parameter.protoPath !== name) {
    throw new Error(`"{${name}}" is not a single field of ${finding.plan.desc} that a text can fill`);
  }
  return parameter;
}

interface Reading {
  body: string;
  parameters: readonly Parameter[];
  finding: Finding;
  ndjsonField: string;
}

/** The body is read first, then the query, then the path, so that the path always wins. */
function compileRead({ body, parameters, finding, ndjsonField }: Reading): Route["read"] {
  const bodyPlan = planBody(body, finding, ndjsonField);
  const taken = parameters.map(({ protoPath }) => protoPath);
  if (bodyPlan?.slot !== undefined) taken.push(body);
  const query = { ...finding, taken };
  const hasQuery = body !== "*";
  return (input) => {
    const reading = startReading();
    const bytes = input.body ?? new Uint8Array();
    const request = bodyPlan ? readBody(bytes, input.contentType, { plan: bodyPlan, reading }) : finding.plan.fresh();
    if (hasQuery && input.query !== "") readQuery(request, input.query, { plan: query, reading });
    readPath(request, input.params, { parameters, reading });
    refuseFaults(reading);
    return request as unknown as ReturnType<Route["read"]>;
  };
}

function planBody(body: string, { plan, planOf }: Finding, ndjsonField: string): BodyPlan | undefined {
  if (body === "") return undefined;
  const slot: Slot | undefined = body === "*" ? undefined : plan.slots.get(body);
  if (body !== "*" && slot?.field.name !== body) throw new Error(`body "${body}" is not a field of ${plan.desc}`);
  const lines = ndjsonField === "" ? undefined : planLines(ndjsonField, { plan, planOf });
  return { plan, slot, lines };
}
