import Client
import Platform
import Protocols

// `cairn ring`: who owns what, as one node sees it.

let ringCommand = Subcommand(
  name: "ring", summary: "show which node owns which partition",
  details: ["Partitions with the same owners in the same order share a line; the first owner of each is asked first."],
  options: [
    Option(
      "--url", "URL", repeats: true, help: "a node; several are tried in turn (default \(ObjectRequest.defaultURL))"),
    Option("--json", help: "print what the node says, as JSON"),
  ],
  examples: ["ring", "ring --json"], run: ring)

@Sendable private func ring(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let (endpoint, answer) = try fetch("/admin/ring", from: try arguments.endpoints())
  guard let ring = try? JSON.parse(answer.body) else { throw Failure("\(endpoint) sent something that is no JSON") }
  if arguments.has("--json") {
    try printOut(ring.text(indent: true) + "\n")
    return 0
  }
  if ring["partitions"]?.integer == 0 { throw Failure("\(endpoint) has not founded its cluster yet; try again") }
  guard let table = RingTable(ring) else { throw Failure("\(endpoint) sent a ring that this version does not know") }
  try printOut(table.text)
  return 0
}

/// The answer of the first node that has one with status 200.
private func fetch(_ target: String, from endpoints: [Endpoint]) throws -> (endpoint: Endpoint, answer: HTTPResponse) {
  var problems: [String] = []
  for endpoint in endpoints {
    do throws(HTTPClientError) {
      var client = HTTPClient(endpoint, timeoutMilliseconds: ObjectRequest.patienceMilliseconds)
      let answer = try client.send("GET", target)
      if answer.status == 200 { return (endpoint, answer) }
      problems.append("\(endpoint) answered \(answer.status): \(answer.line)")
    } catch {
      problems.append("\(error)")
    }
  }
  throw Failure(problems.joined(separator: "; "))
}

private struct RingTable {
  private let epoch: Int
  private let partitionCount: Int
  private let replicas: Int
  private let members: [String]
  private let owners: [[String]]

  init?(_ ring: JSON) {
    guard let epoch = ring["epoch"]?.integer, let partitionCount = ring["partitions"]?.integer,
      let replicas = ring["n_val"]?.integer, let members = ring["members"]?.array, let owners = ring["owners"]?.array,
      owners.count == partitionCount
    else { return nil }
    self.epoch = epoch
    self.partitionCount = partitionCount
    self.replicas = replicas
    self.members = members.map { $0.string ?? "?" }
    self.owners = owners.map { ($0.array ?? []).map { $0.string ?? "?" } }
  }

  var text: String {
    let summary = "epoch \(epoch), \(partitionCount) partitions, each on \(replicas) nodes (n_val)"
    let nodes = members.map { member in
      [member, "\(owners.count { $0.contains(member) })", "\(owners.count { $0.first == member })"]
    }
    var partitions: [[String]: [Int]] = [:]
    for (partition, list) in owners.enumerated() { partitions[list, default: []].append(partition) }
    let groups = partitions.sorted { $0.value[0] < $1.value[0] }
      .map { [$0.key.joined(separator: " "), "\($0.value.count)", Self.ranges($0.value)] }
    let lines =
      [summary, ""] + aligned([["NODE", "PARTITIONS", "FIRST OWNER OF"]] + nodes) + [""]
      + aligned([["OWNERS", "COUNT", "PARTITIONS"]] + groups)
    return lines.joined(separator: "\n") + "\n"
  }

  /// Ascending numbers, neighbours joined: `0-3 7 9-10`.
  private static func ranges(_ numbers: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: " ")
  }
}
