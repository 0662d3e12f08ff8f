import Client
import Platform
import Protocols

// `cairn local status`: what the process table says of each node, and what the node says of itself.

@Sendable func localStatus(_ arguments: Arguments) throws -> Int32 {
  try arguments.refuseOperands()
  let directory = try arguments.localDirectory()
  guard let cluster = try LocalCluster.load(directory) else {
    throw Failure(
      "there is no local cluster in \(directory); start one with cairn local up\(arguments.dataSuffix)")
  }
  let rows = cluster.nodes.map { NodeRow($0, of: cluster) }
  if arguments.has("--json") {
    try printOut(JSON.array(rows.map(\.json)).text(indent: true) + "\n")
  } else {
    let header = ["NODE", "PID", "STATE", "HTTP", "PB", "KEYS", "TOMBSTONES", "HINTS", "MEMORY"]
    try printOut(aligned([header] + rows.map(\.cells)).joined(separator: "\n") + "\n")
  }
  return 0
}

private struct NodeRow {
  let name: String
  let endpoint: Endpoint
  let pb: SocketAddress
  var pid: Int32?
  /// `serving`, `starting` (runs, but does not serve yet), `silent` (runs, does not answer) or `down`; or `byHand`.
  var state = "down"
  /// No process that `cairn local` started, yet a node of this name serves here.
  static let byHand = "serving (not started by local)"
  var keys: Int?
  var tombstones: Int?
  /// Kept for other nodes.
  var hints: Int?
  /// Of how many stores of the node some are being filled.
  var stores: Int?
  var filling: Int?
  var residentBytes: Int?

  init(_ node: LocalCluster.Node, of cluster: LocalCluster) {
    name = cluster.name(node)
    endpoint = cluster.endpoint(node)
    pb = cluster.pbAddress(node)
    let process = cluster.running(node)
    if let process {
      pid = process.pid
      residentBytes = ProcessTable.facts(of: process.pid)?.residentBytes
      state = "silent"
    }
    do throws(HTTPClientError) {
      var client = HTTPClient(endpoint, timeoutMilliseconds: 2000)
      let isReady = try client.send("GET", "/ready").status == 200
      if process != nil { state = isReady ? "serving" : "starting" }
      let answer = try client.send("GET", "/admin/status")
      guard answer.status == 200, let status = try? JSON.parse(answer.body) else { return }
      if process == nil {
        guard isReady, status["name"]?.string == name else { return }
        state = NodeRow.byHand
      }
      keys = status["keys_live"]?.integer
      tombstones = status["tombstones"]?.integer
      hints = status["hints"]?["count"]?.integer
      stores = status["stores"]?.array?.count
      filling = status["anti_entropy"]?["refilling"]?.integer
    } catch {
      return
    }
  }

  private var isServing: Bool { state == "serving" || state == NodeRow.byHand }

  var cells: [String] {
    func cell(_ value: Int?) -> String { value.map(String.init) ?? "-" }
    let memory = residentBytes.map { "\(($0 + 1 << 19) >> 20) MiB" } ?? "-"
    var state = state
    if isServing, let filling, filling > 0 { state += ", filling \(filling) of \(cell(stores)) stores" }
    return [
      name, cell(pid.map(Int.init)), state, "\(endpoint)", "\(pb)", cell(keys), cell(tombstones), cell(hints), memory,
    ]
  }

  var json: JSON {
    func number(_ value: Int?) -> JSON { value.map(JSON.integer) ?? .null }
    return .object([
      "node": .string(name), "pid": number(pid.map(Int.init)), "state": .string(state), "http": .string("\(endpoint)"),
      "pb": .string("\(pb)"),
      "keys": number(keys), "tombstones": number(tombstones), "hints": number(hints),
      "stores": number(stores), "filling": number(filling), "memory_bytes": number(residentBytes),
    ])
  }
}
