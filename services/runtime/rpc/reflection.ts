import { type DescFile, type DescMessage, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { type Server, type ServerDuplexStream, status as Status } from "@grpc/grpc-js";
import { file_google_rpc_error_details } from "#gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "#gen/google/rpc/status_pb.ts";
import { reflectionDefinitions, standardServices } from "./standard.ts";

/** ServerReflectionRequest as the definitions of @grpc/reflection read it; `messageRequest` names the field that is set. */
interface Question {
  host: string;
  messageRequest?: string;
  fileByFilename?: string;
  fileContainingSymbol?: string;
  fileContainingExtension?: { containingType: string; extensionNumber: number };
  allExtensionNumbersOfType?: string;
}

/**
 * Adds server reflection, v1 and v1alpha, of these services, of health and of itself. The definitions are those of
 * @grpc/reflection; the answers are our own, since its ones lose the options of methods, where REST paths and scopes stand.
 */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const answer = answers([...services, ...standardServices()]);
  const ServerReflectionInfo = (call: ServerDuplexStream<Question, object>): void => {
    call.on("data", (question: Question) => call.write(reply(question, answer)));
    call.on("end", () => call.end());
  };
  for (const definition of reflectionDefinitions) server.addService(definition, { ServerReflectionInfo });
}

type Answer = (question: Question) => object | undefined;

function reply(question: Question, answer: Answer): object {
  const known = answer(question);
  const errorResponse = { errorCode: Status.NOT_FOUND, errorMessage: "not known here" };
  return { validHost: question.host, originalRequest: question, ...(known ?? { errorResponse }) };
}

function answers(services: readonly DescService[]): Answer {
  const index = indexOf(services);
  const withImports = (file: DescFile | undefined): object | undefined =>
    file && { fileDescriptorResponse: { fileDescriptorProto: [...reach(file)].map((one) => index.bytesOf(one)) } };
  return (question) => {
    switch (question.messageRequest) {
      case "listServices":
        return { listServicesResponse: { service: services.map(({ typeName }) => ({ name: typeName })) } };
      case "fileByFilename":
        return withImports(index.files.get(question.fileByFilename ?? ""));
      case "fileContainingSymbol":
        return withImports(index.symbols.get(question.fileContainingSymbol ?? ""));
      case "fileContainingExtension": {
        const { containingType = "", extensionNumber = 0 } = question.fileContainingExtension ?? {};
        return withImports(index.extensions.get(containingType)?.get(extensionNumber));
      }
      case "allExtensionNumbersOfType": {
        const numbers = index.extensions.get(question.allExtensionNumbersOfType ?? "");
        const baseTypeName = question.allExtensionNumbersOfType;
        return numbers && { allExtensionNumbersResponse: { baseTypeName, extensionNumber: [...numbers.keys()] } };
      }
      default:
        return undefined;
    }
  };
}

interface Index {
  files: Map<string, DescFile>;
  symbols: Map<string, DescFile>;
  /** By the type that is extended, then by number. */
  extensions: Map<string, Map<number, DescFile>>;
  bytesOf: (file: DescFile) => Uint8Array;
}

function indexOf(services: readonly DescService[]): Index {
  const encoded = new Map<DescFile, Uint8Array>();
  const bytesOf = (file: DescFile): Uint8Array => {
    const bytes = encoded.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
    encoded.set(file, bytes);
    return bytes;
  };
  const index: Index = { files: new Map(), symbols: new Map(), extensions: new Map(), bytesOf };
  // No call mentions the details of refusals, and yet clients meet them.
  for (const root of [...services.map(({ file }) => file), file_google_rpc_error_details, file_google_rpc_status]) {
    for (const file of reach(root)) if (!index.files.has(file.proto.name)) addFile(file, index);
  }
  return index;
}

/** A file and all that it imports, each once. */
function reach(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  if (found.has(file)) return found;
  found.add(file);
  for (const one of file.dependencies) reach(one, found);
  return found;
}

function addFile(file: DescFile, { files, symbols, extensions }: Index): void {
  files.set(file.proto.name, file);
  const messages = file.messages.flatMap(withNested);
  for (const { typeName } of [...messages, ...file.enums, ...file.services]) symbols.set(typeName, file);
  for (const { typeName } of messages.flatMap(({ nestedEnums }) => nestedEnums)) symbols.set(typeName, file);
  for (const { typeName, methods } of file.services) {
    for (const { name } of methods) symbols.set(`${typeName}.${name}`, file);
  }
  for (const extension of [...file.extensions, ...messages.flatMap(({ nestedExtensions }) => nestedExtensions)]) {
    symbols.set(extension.typeName, file);
    const numbers = extensions.get(extension.extendee.typeName) ?? new Map<number, DescFile>();
    extensions.set(extension.extendee.typeName, numbers.set(extension.number, file));
  }
}

function withNested(message: DescMessage): DescMessage[] {
  return [message, ...message.nestedMessages.flatMap(withNested)];
}
