import type { Params } from "../engine/query.ts";

/** Collects values of a statement; SQL gets the names of their parameters. */
export interface Values {
  readonly params: Params;
  /** The parameter that holds a value: "$w3". */
  bind: (value: Params[string]) => string;
  /** A number that may have a fraction, in SQL. */
  bindNumber: (value: number) => string;
  /** Binds under a name of its own; again under the same name is once. */
  bindAs: (name: string, value: Params[string]) => string;
}

/** Values whose parameters have names that begin with a prefix. */
export function openValues(prefix: string): Values {
  const params: Record<string, Params[string]> = {};
  let count = 0;
  const bindAs = (name: string, value: Params[string]): string => {
    params[`${prefix}${name}`] = value;
    return `$${prefix}${name}`;
  };
  const bind = (value: Params[string]): string => {
    count += 1;
    return bindAs(String(count - 1), value);
  };
  return {
    params,
    bind,
    bindAs,
    bindNumber: (value) =>
      Number.isSafeInteger(value) ? bind(BigInt(value)) : `CAST(${bind(String(value))} AS DOUBLE)`,
  };
}
