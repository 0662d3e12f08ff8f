import Client
import Platform
import Protocols

// `cairn keys`: the keys of a bucket, or the buckets, one a line, as they come.

let keysCommand = Subcommand(
  name: "keys", summary: "list the keys of a bucket, or the buckets", operands: "BUCKET|--buckets",
  details: [
    "One a line, in no order that means anything, exactly the bytes of each; --json prints each as a JSON string, in",
    "which a byte that is not UTF-8 is \\udc80 to \\udcff. A listing reads every key of the cluster: it is for people",
    "and exports, not for programs that want one key. Keys written or deleted meanwhile may be in it or not.",
    "Exit code 1 when the listing broke off; what was printed is then not all.",
  ],
  options: [
    Option("--buckets", help: "list the buckets that hold a key"), urlOption,
    Option("--type", "T", help: "bucket type (default: default)"), Option("--json", help: "print JSON strings"),
  ],
  examples: ["keys fruit", "keys fruit --json", "keys --buckets"], run: keys)

@Sendable private func keys(_ arguments: Arguments) throws -> Int32 {
  let wantsBuckets = arguments.has("--buckets")
  guard arguments.positionals.count == (wantsBuckets ? 0 : 1) else {
    let problem =
      wantsBuckets
      ? "--buckets lists all buckets; '\(arguments.positionals[0])' means nothing beside it"
      : arguments.positionals.isEmpty
        ? "keys needs a BUCKET, or --buckets" : "keys takes one BUCKET, not \(arguments.positionals.count)"
    throw arguments.problem(problem, hint: "usage: cairn keys BUCKET, or cairn keys --buckets")
  }
  if arguments.positionals.first == "" { throw arguments.problem("an empty BUCKET names nothing") }
  let subject = ListingSubject(type: arguments.value("--type"), bucket: arguments.positionals.first)
  let printer = NamePrinter(isJSON: arguments.has("--json"))
  do throws(Errno) { try ignoreBrokenPipes() } catch { throw Failure("cannot ignore broken pipes: \(error)") }
  do {
    try list(subject, from: try arguments.endpoints(), printer)
    try printer.flush()
    return 0
  } catch let error as Errno where error == .brokenPipe {
    return BulkExit.brokenPipe
  } catch let error as Errno {
    throw Failure("cannot write to standard output: \(error)")
  } catch let failure as ListingFailure {
    try printer.flush()
    let noun = wantsBuckets ? "buckets" : "keys"
    throw Failure(
      failure.hasBegun
        ? "this is not all: after \(grouped(printer.count)) \(noun), \(failure.reason)" : failure.reason)
  }
}

/// Lists from the first node that begins to. What was printed cannot be taken back: once begun, no other node is asked.
private func list(_ subject: ListingSubject, from endpoints: [Endpoint], _ printer: NamePrinter) throws {
  var reasons: [String] = []
  for endpoint in endpoints {
    do {
      return try endpoint.list(subject, patienceMilliseconds: ObjectRequest.patienceMilliseconds) { piece in
        for index in 0..<piece.count { printer.add(piece[index]) }
        try printer.flush()
      }
    } catch let failure as ListingFailure {
      if failure.hasBegun || !failure.mayRetry { throw failure }
      reasons.append(failure.reason)
    }
  }
  throw ListingFailure(reason: reasons.joined(separator: "; "), hasBegun: false, mayRetry: true)
}

/// Names on their way to standard output.
private final class NamePrinter {
  private let isJSON: Bool
  private var buffer: [UInt8] = []
  private(set) var count = 0

  init(isJSON: Bool) { self.isJSON = isJSON }

  func add(_ name: ArraySlice<UInt8>) {
    count += 1
    if isJSON { buffer.appendJSONText(name) } else { buffer.append(contentsOf: name) }
    buffer.append(0x0A)
  }

  func flush() throws(Errno) {
    try Console.write(buffer)
    buffer.removeAll(keepingCapacity: true)
  }
}
