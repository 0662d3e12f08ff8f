import Platform
import Primitives
import Protocols

// `cairn bench engine`: the storage engine alone, beside what the machine can do at most.

let engineBenchCommand = Subcommand(
  name: "engine", summary: "measure the storage engine alone, without a node",
  details: [
    "One writer, no network. Beside every workload a raw loop moves the same bytes with plain system calls; the ratio to",
    "it says more than a rate, which differs between machines and minutes. Each row is the median of a few repetitions.",
    "Latencies of writes are those of their turn: so many writes are applied, then handed to the system with one write.",
    "Nothing is synced but where the name says so; what is read is in memory but for overwrite_cold.",
    "",
    "workloads:",
  ] + aligned(EngineWorkload.allCases.map { [$0.rawValue, $0.summary] }, indent: "  "),
  options: EngineBenchOptions.table,
  examples: [
    "bench engine --workload put --workload get --value-size 1KiB",
    "bench engine --workload group_commit --stores 64 --writers 64", "bench engine --keys 100000 --json",
  ],
  run: benchEngine)

@Sendable private func benchEngine(_ arguments: Arguments) throws -> Int32 {
  let options = try EngineBenchOptions(arguments)
  let watch = try EngineBenchWatch(takesSignals: true)
  // A pipe that nobody reads must not leave the data behind.
  try ignoreBrokenPipes()
  try raiseOpenFilesLimit()
  let (results, wasInterrupted) = try measureEngine(options, watch) { result in
    if options.printsJSON { try printOut(result.json.text() + "\n") }
  }
  if !options.printsJSON && !results.isEmpty { try printOut(EngineBenchResult.table(results)) }
  if wasInterrupted { throw Failure("interrupted after \(plural(results.count, "row")) of \(options.plans.count)") }
  return 0
}

/// Measures every row, in a directory that is gone afterwards.
/// - Parameter show: Called with each row as soon as it is measured.
func measureEngine(
  _ options: EngineBenchOptions, _ watch: EngineBenchWatch, show: (EngineBenchResult) throws -> Void
) throws -> (results: [EngineBenchResult], wasInterrupted: Bool) {
  let directory = "\(options.parent)/cairn-bench-\(try randomSeed())"
  do throws(Errno) {
    try FileTree.create(directory)
  } catch {
    throw Failure("cannot create \(directory): \(error)")
  }
  defer { try? FileTree.remove(directory) }
  var results: [EngineBenchResult] = []
  do {
    for plan in options.plans {
      let result = try EngineBenchRun(plan, "\(directory)/row", watch).result()
      results.append(result)
      try show(result)
    }
  } catch is EngineBenchInterruption {
    return (results, true)
  }
  return (results, false)
}
