import { dirname, join, normalize } from "node:path";
import { expect, it } from "vitest";
import { importsOf, isTest, type Source, sources } from "./source.ts";

/** Where an import leads, from the root; undefined for packages and Node's own modules. */
function target({ path }: Source, specifier: string): string | undefined {
  if (specifier.startsWith("#gen/")) return specifier.replace("#gen", "proto/gen");
  if (specifier.startsWith("#runtime/")) return specifier.replace("#runtime", "services/runtime");
  return specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : undefined;
}

const composition = ["services/main.ts", "services/all-in-one.ts", "services/registry.ts", "services/projections.ts"];

/** Why a file may not import another, or undefined when it may. */
function offence(source: Source, to: string): string | undefined {
  const from = source.path;
  if (isTest(from) || composition.includes(from)) return undefined;
  if (to.startsWith("proto/gen/") || to === "package.json") return undefined;
  if (to.startsWith("test/")) return "product code never imports tests";
  if (from.startsWith("services/runtime/"))
    return to.startsWith("services/runtime/") ? undefined : "runtime imports only runtime";
  if (from.startsWith("gateway/")) {
    return to.startsWith("gateway/") || to.startsWith("services/runtime/")
      ? undefined
      : "the gateway imports only runtime";
  }
  const own = from.split("/").slice(0, 2).join("/");
  if (from.split("/").length === 2) return undefined;
  if (to.startsWith(`${own}/`) || to.startsWith("services/runtime/")) return undefined;
  return "a service never imports another";
}

const all = sources();

it("imports point one way: gen ← all, runtime ← services and gateway, and no service imports another", () => {
  const offences = all.flatMap((source) =>
    importsOf(source).flatMap((specifier) => {
      const to = target(source, specifier);
      const why = to === undefined ? undefined : offence(source, to);
      return why === undefined ? [] : [`${source.path} imports ${specifier}: ${why}`];
    }),
  );
  expect(offences).toEqual([]);
});

it("uses #gen and #runtime for the two far places, never a path of dots", () => {
  const product = all.filter(({ path }) => !path.startsWith("services/runtime/"));
  const far = product.flatMap((source) =>
    importsOf(source)
      .filter((specifier) => /^\.\.?\//.test(specifier))
      .filter((specifier) => /^(proto\/gen|services\/runtime)\//.test(target(source, specifier) ?? ""))
      .filter(() => source.path.split("/").length > 2 || source.path.startsWith("gateway/"))
      .map((specifier) => `${source.path} imports ${specifier}`),
  );
  expect(far).toEqual([]);
});

it("has no barrels and no default exports", () => {
  const offences = all.filter(({ path, text }) => {
    const isBarrel = /(^|\/)index\.ts$/.test(path) || /^export \* from/m.test(text);
    return isBarrel || (/^export default/m.test(text) && !path.endsWith(".config.ts"));
  });
  expect(offences.map(({ path }) => path)).toEqual([]);
});

it("has no room for leftovers: utils, helpers, common, lib, manager", () => {
  const leftovers = all.filter(({ path }) => /(^|\/)(utils?|helpers?|common|lib|manager)(\.ts|\/)/.test(path));
  expect(leftovers.map(({ path }) => path)).toEqual([]);
});
