import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Routing, RoutingCondition, RoutingRule, RoutingShare } from "#gen/waymark/codes/v1/directory_pb.ts";
import { fail } from "#runtime/failure.ts";
import { DAYS, DEVICE_KINDS, isTimezone, parseHours } from "#runtime/routing.ts";
import { checkUrl } from "./rules.ts";

const MAX_RULES = 50;
const MAX_SHARES = 20;
const MAX_WEIGHT = 1_000_000;
const MAX_LIST = 250;

function refuse(field: string, must: string): Error {
  return fail("INVALID_FIELD", { field, must });
}

/** Routing that can be evaluated, with countries in capitals; or a refusal that names the field: "routing.rules[1].when.hours". */
export function checkRouting(routing: Routing, field: string): Routing {
  if (routing.rules.length > MAX_RULES) throw refuse(`${field}.rules`, `must have at most ${MAX_RULES} rules`);
  for (const [i, rule] of routing.rules.entries()) checkRule(rule, `${field}.rules[${i}]`);
  return routing;
}

function checkRule(rule: RoutingRule, field: string): void {
  if (rule.name !== undefined && rule.name.length > 100)
    throw refuse(`${field}.name`, "must be at most 100 characters long");
  if (rule.when !== undefined) checkCondition(rule.when, `${field}.when`);
  if (rule.destination !== undefined && rule.split.length > 0)
    throw refuse(`${field}.split`, "must be left out beside destination");
  if (rule.destination !== undefined) checkUrl(rule.destination, `${field}.destination`);
  else checkSplit(rule.split, field);
}

function checkSplit(split: readonly RoutingShare[], field: string): void {
  if (split.length === 0) throw refuse(`${field}.destination`, "must be given, or split in its place");
  if (split.length > MAX_SHARES) throw refuse(`${field}.split`, `must have at most ${MAX_SHARES} shares`);
  for (const [i, { weight, destination }] of split.entries()) {
    if (weight < 1 || weight > MAX_WEIGHT)
      throw refuse(`${field}.split[${i}].weight`, `must be a whole number from 1 to ${MAX_WEIGHT}`);
    checkUrl(destination, `${field}.split[${i}].destination`);
  }
}

function checkCondition(when: RoutingCondition, field: string): void {
  when.country = when.country.map((country) => country.toUpperCase());
  checkList(when.country, `${field}.country`, {
    fits: /^[A-Z]{2}$/,
    must: "must be an ISO 3166-1 alpha-2 code, as US",
  });
  checkList(when.device, `${field}.device`, { fits: DEVICE_KINDS, must: `must be one of ${DEVICE_KINDS.join(", ")}` });
  const tag = /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$/;
  checkList(when.language, `${field}.language`, { fits: tag, must: "must be a language tag, as en or en-GB" });
  checkList(when.days, `${field}.days`, { fits: DAYS, must: "must be one of mon, tue, wed, thu, fri, sat, sun" });
  if (when.timezone !== undefined && !isTimezone(when.timezone))
    throw refuse(`${field}.timezone`, "must be an IANA time zone, as Europe/Berlin");
  if (when.hours !== undefined) checkHours(when.hours, `${field}.hours`);
  if (when.scansBelow !== undefined && when.scansBelow < 1n) throw refuse(`${field}.scans_below`, "must be 1 or more");
  if (when.after && when.before && timestampMs(when.before) <= timestampMs(when.after))
    throw refuse(`${field}.before`, "must be later than after");
}

function checkList(
  values: readonly string[],
  field: string,
  rule: { fits: RegExp | readonly string[]; must: string },
): void {
  if (values.length > MAX_LIST) throw refuse(field, `must have at most ${MAX_LIST} values`);
  for (const [i, value] of values.entries()) {
    const fine = rule.fits instanceof RegExp ? rule.fits.test(value) : rule.fits.includes(value);
    if (!fine) throw refuse(`${field}[${i}]`, rule.must);
  }
}

function checkHours(hours: string, field: string): void {
  const window = parseHours(hours);
  if (window === undefined) throw refuse(field, "must be two times of the day, as 09:00-17:00 or 22:00-06:00");
  if (window.from === window.to) throw refuse(field, "must begin and end at different times");
}
