import { expect, it } from "vitest";
import { registry } from "../../services/registry.ts";
import { sources } from "./source.ts";

/** Which service's proto a client type comes from: "#gen/waymark/codes/v1/directory_pb.ts" → "codes". */
function calledBy(name: string): Set<string> {
  const called = new Set<string>();
  for (const { path, text } of sources("services")) {
    if (!path.startsWith(`services/${name}/`) || path.endsWith(".test.ts") || /\/test-/.test(path)) continue;
    const origins = new Map<string, string>();
    for (const [, names, service] of text.matchAll(/import \{([^}]*)\} from "#gen\/waymark\/(\w+)\/v1\//g)) {
      for (const imported of (names ?? "").split(",")) origins.set(imported.trim(), service as string);
    }
    for (const [, type] of text.matchAll(/client\((\w+Service)\)/g)) {
      const origin = origins.get(type as string);
      if (origin !== undefined && origin !== name) called.add(origin);
    }
  }
  return called;
}

it.each(registry.map(({ name, calls }) => [name, calls] as const))(
  "%s calls exactly the services it names",
  (name, calls) => {
    expect([...calledBy(name)].sort()).toEqual([...calls].sort());
  },
);
