import type { Template } from "./template.ts";

/** Something that a path leads to. */
export interface Target {
  /** HTTP method, or "*" for any. */
  method: string;
  template: Template;
  /** How errors call it: "waymark.tags.v1.TagService.GetTag". */
  label: string;
}

/** What a router says about a method and a path. */
export type Match<T extends Target> =
  /** `params` are the values of `template.variables`, in their order. */
  | { kind: "route"; target: T; params: readonly string[] }
  /** The path exists for other methods. `target` is one of those that have it. */
  | { kind: "method"; target: T; allowed: readonly string[] }
  | { kind: "none" };

/** Finds the target of a path. */
export interface Router<T extends Target> {
  /** `path` is raw, beginning with "/", without query. Never throws. */
  match: (method: string, path: string) => Match<T>;
}

/** Targets of one path by verb, then by method. */
type Leaves<T> = Map<string, Map<string, T>>;

interface Node<T> {
  literals: Map<string, Node<T>>;
  one: Node<T> | undefined;
  /** Where the path ends here. */
  leaves: Leaves<T>;
  /** Where everything from here on is one "**". */
  rest: Leaves<T>;
}

/** One look-up of a path, with or without its verb. */
interface Lookup<T> {
  method: string;
  verb: string;
  segments: readonly string[];
  /** Targets that the path has for other methods. */
  others: Map<string, T>;
}

/**
 * Builds a trie of targets. The most literal target that takes the method wins; a `:verb` is tried as a verb before it is
 * taken as a part of the last segment. Two targets that take the same requests are a problem that names both.
 */
export function createRouter<T extends Target>(targets: readonly T[], problems: string[]): Router<T> {
  const root = node<T>();
  for (const target of targets) insert(root, target, problems);
  return { match: (method, path) => matchPath(root, method, path) };
}

function node<T>(): Node<T> {
  return { literals: new Map(), one: undefined, leaves: new Map(), rest: new Map() };
}

function insert<T extends Target>(root: Node<T>, target: T, problems: string[]): void {
  const { segments, verb } = target.template;
  let at = root;
  let leaves: Leaves<T> | undefined;
  for (const segment of segments) {
    if (segment.kind === "rest") leaves = at.rest;
    else if (segment.kind === "one") at = at.one ??= node<T>();
    else at = child(at, segment.text);
  }
  leaves ??= at.leaves;
  const methods = leaves.get(verb) ?? new Map<string, T>();
  leaves.set(verb, methods);
  const other = methods.get(target.method);
  if (other === undefined) methods.set(target.method, target);
  else problems.push(`${target.label} and ${other.label} both take ${target.method} ${show(target.template)}`);
}

function child<T>(at: Node<T>, text: string): Node<T> {
  const existing = at.literals.get(text);
  if (existing !== undefined) return existing;
  const created = node<T>();
  at.literals.set(text, created);
  return created;
}

function show(template: Template): string {
  const words = template.segments.map((s) => (s.kind === "literal" ? s.text : s.kind === "one" ? "*" : "**"));
  return `/${words.join("/")}${template.verb === "" ? "" : `:${template.verb}`}`;
}

function matchPath<T extends Target>(root: Node<T>, method: string, path: string): Match<T> {
  if (!path.startsWith("/")) return { kind: "none" };
  const raw = path.slice(1).split("/");
  const others = new Map<string, T>();
  const last = raw[raw.length - 1] as string;
  const colon = last.lastIndexOf(":");
  if (colon >= 0) {
    const verb = decodeSegment(last.slice(colon + 1));
    const segments = [...raw.slice(0, -1), last.slice(0, colon)];
    const found = verb ? find(root, { method, verb, segments, others }) : undefined;
    if (found !== undefined) return found;
  }
  const found = find(root, { method, verb: "", segments: raw, others });
  if (found !== undefined) return found;
  const [target] = others.values();
  return target === undefined ? { kind: "none" } : { kind: "method", target, allowed: [...others.keys()].sort() };
}

function find<T extends Target>(root: Node<T>, lookup: Lookup<T>): Match<T> | undefined {
  const decoded: string[] = [];
  for (const segment of lookup.segments) {
    const text = decodeSegment(segment);
    if (text === undefined) return undefined;
    decoded.push(text);
  }
  const target = walk(root, decoded, lookup, 0);
  return target && { kind: "route", target, params: values(target.template, decoded, lookup.segments) };
}

function walk<T extends Target>(
  at: Node<T>,
  decoded: readonly string[],
  lookup: Lookup<T>,
  depth: number,
): T | undefined {
  if (depth === decoded.length) return pick(at.leaves, lookup) ?? pick(at.rest, lookup);
  const text = decoded[depth] as string;
  const literal = at.literals.get(text);
  const found = literal && walk(literal, decoded, lookup, depth + 1);
  if (found !== undefined) return found;
  const one = at.one !== undefined && text !== "" ? walk(at.one, decoded, lookup, depth + 1) : undefined;
  return one ?? pick(at.rest, lookup);
}

function pick<T extends Target>(leaves: Leaves<T>, { method, verb, others }: Lookup<T>): T | undefined {
  const methods = leaves.get(verb);
  if (methods === undefined) return undefined;
  const target = methods.get(method) ?? methods.get("*");
  if (target === undefined) for (const [name, other] of methods) if (!others.has(name)) others.set(name, other);
  return target;
}

function values(template: Template, decoded: readonly string[], raw: readonly string[]): string[] {
  return template.variables.map(({ start, end, multi }) => {
    if (!multi) return decoded[start] as string;
    const covered = raw.slice(start, end === -1 ? undefined : end);
    return covered.map(decodeButSlash).join("/");
  });
}

/** The decoded segment, or undefined when its percent-encoding is broken. */
function decodeSegment(segment: string): string | undefined {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function decodeButSlash(segment: string): string {
  return segment
    .split(/(%2f)/i)
    .map((part, index) => (index % 2 === 1 ? part : (decodeSegment(part) ?? part)))
    .join("");
}
