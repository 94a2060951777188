import { create, createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { service as health } from "grpc-health-check";

/** Definitions of grpc.reflection.v1 and v1alpha for grpc-js. */
export const reflectionDefinitions: readonly ServiceDefinition[] = collect();

function collect(): ServiceDefinition[] {
  const definitions: ServiceDefinition[] = [];
  new ReflectionService({}).addToServer({ addService: (definition) => void definitions.push(definition as never) });
  return definitions;
}

/** Descriptors of the services that gRPC itself defines and every server of ours has: health and reflection. */
export function standardServices(): DescService[] {
  const file = [health as never, ...reflectionDefinitions].flatMap(filesOf);
  return [...createFileRegistry(create(FileDescriptorSetSchema, { file }))].filter((desc) => desc.kind === "service");
}

/** The descriptors that proto-loader gives with a definition; it writes names of types as they stand in the source. */
function filesOf(definition: ServiceDefinition): FileDescriptorProto[] {
  const [method] = Object.values(definition) as unknown as { requestType: { fileDescriptorProtos: Uint8Array[] } }[];
  return (method?.requestType.fileDescriptorProtos ?? []).map((bytes) => {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    for (const message of file.messageType) nameMaps(message);
    const names = new Set(file.messageType.flatMap((message) => namesIn(message, `.${file.package}`)));
    for (const message of file.messageType) complete(message, { scope: `.${file.package}`, names });
    return file;
  });
}

/** Entries of maps have the name that protoc gives them; proto-loader leaves the field's. */
function nameMaps(message: DescriptorProto): void {
  for (const nested of message.nestedType) {
    if (!nested.options?.mapEntry || nested.name.endsWith("Entry")) continue;
    for (const field of message.field) if (field.typeName === nested.name) field.typeName += "Entry";
    nested.name += "Entry";
  }
}

function namesIn({ name, nestedType, enumType }: DescriptorProto, scope: string): string[] {
  const own = `${scope}.${name}`;
  return [
    own,
    ...enumType.map((type) => `${own}.${type.name}`),
    ...nestedType.flatMap((nested) => namesIn(nested, own)),
  ];
}

/** Writes the names of types in full: the innermost type of that name, as protoc looks it up. */
function complete(message: DescriptorProto, { scope, names }: { scope: string; names: ReadonlySet<string> }): void {
  const own = `${scope}.${message.name}`;
  for (const field of message.field) {
    if (field.typeName === "" || field.typeName.startsWith(".")) continue;
    const parts = own.split(".");
    const scopes = parts.map((_, index) => parts.slice(0, parts.length - index).join("."));
    field.typeName =
      scopes.map((outer) => `${outer}.${field.typeName}`).find((full) => names.has(full)) ?? field.typeName;
  }
  for (const nested of message.nestedType) complete(nested, { scope: own, names });
}
