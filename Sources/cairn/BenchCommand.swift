import Client
import Platform
import Protocols

// `cairn bench`: load on a cluster, and what it does to latencies.

let benchCommand = Subcommand(
  name: "bench", summary: "put load on a cluster and measure it",
  details: [
    "Closed loop (the default): every connection sends its next request when the last one is answered. That finds the",
    "highest rate, but a stalled node also stalls the requests that would have shown it (coordinated omission). Open loop",
    "(--rate): requests are due at fixed times, and latencies count from then: take it to measure latencies.",
    "",
    "Errors are counted apart and never as successes; a key that is not there is an answer. A node that goes away costs",
    "the requests in flight on its connections, which are counted as lost; the connections move on to the other nodes",
    "and stay there. The report then tells latencies before and after, and always the longest time without an answer.",
    "",
    "--protocol pb sends the same operations over Riak's Protocol Buffers. Nodes named by http URLs are asked where (the",
    "pb of /admin/status); pb://127.0.0.1:10017 names that address itself. A deletion over pb does not tell whether there",
    "was something, so that none of them counts as not found.",
    "",
    "Ctrl-C ends the measurement and prints what there is. The keys have 16 digits and stay in their bucket afterwards.",
    "",
    "cairn bench engine needs no cluster: it measures the storage engine alone (cairn bench engine --help).",
  ],
  options: BenchOptions.table,
  examples: [
    "bench --op put --duration 10s", "bench --protocol pb --op put --w 2",
    "bench --preload --distribution zipf --rate 5000 --csv seconds.csv",
    "bench --op mixed --mix get=95,put=5 --connections 64 --depth 4 --url http://127.0.0.1:10018 \\\n"
      + "    --url http://127.0.0.1:10028 --url http://127.0.0.1:10038",
  ],
  children: [engineBenchCommand], runsWithoutChild: true, run: bench)

@Sendable private func bench(_ arguments: Arguments) throws -> Int32 {
  var options = try BenchOptions(arguments)
  try checkCSV(options)
  options.endpoints = try BenchNodes.checked(options)
  let run = try BenchRun(options)
  if options.preloads { try run.preload() }
  let result = try run.run()
  if result.elapsed == 0 { throw Failure("interrupted before the measurement began") }
  let command = "cairn " + Console.arguments.compactMap { $0 }.map(shellQuoted).joined(separator: " ")
  let machine = "\(plural(Machine.cores, "core")), \(Machine.kernel)"
  let report = BenchReport(options, result, command: command, machine: machine)
  let text = report.text(histogram: Console.outputIsTerminal)
  try printOut(options.printsJSON ? report.json.text(indent: true) + "\n" : text)
  if let path = options.csvPath { try write(BenchReport.csv(result.recorder.seconds), to: path) }
  if result.recorder.opsCount == 0 {
    throw Failure("no request succeeded\(result.recorder.errors.first.map { ": \($0.example)" } ?? "")")
  }
  return 0
}

/// A table that cannot be written is no surprise for the end.
private func checkCSV(_ options: BenchOptions) throws {
  if let path = options.csvPath { try write(BenchReport.csv([]), to: path) }
}

private func write(_ text: String, to path: String) throws {
  do throws(Errno) {
    try FileTree.write(Array(text.utf8), to: path)
  } catch {
    throw Failure("cannot write \(path): \(error)")
  }
}
