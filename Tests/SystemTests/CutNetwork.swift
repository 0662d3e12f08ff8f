import Platform
import Protocols
import Testing

// A network of its own for one cluster, where packets from one node to another can be made to vanish. Nodes and clients
// run in a namespace of users and network that an ordinary user may make; each node has an address of its own on the
// loopback device, and speaks to the others from it. A cut is a rule of the routing policy: what goes from this address
// to that one takes a way into a device behind which nobody listens. Nothing is refused and no connection breaks, as
// when a cable is pulled.

final class CutNetwork {
  /// What is missing on this machine, in one line; nil when cuts can be made. Told once, loudly.
  static let obstacle: String? = {
    do {
      let network = try CutNetwork("cut-trial", nodes: 2)
      try network.cut(1, 2)
      try network.heal()
      return nil
    } catch {
      let reason =
        "cuts between nodes need unshare, nsenter and ip, namespaces of users and networks, routing "
        + "policies and veth devices: \(error)"
      print("SKIPPED: CutTests, CloneTests: \(reason)")
      return reason
    }
  }()

  /// Lives as long as the network; the namespaces go with it.
  private let holder: ProcessIdentity
  private let directory: ScratchDirectory
  private var cuts: [(from: Int, to: Int)] = []

  static func address(_ node: Int) -> String { "10.9.0.\(node)" }

  init(_ name: String, nodes: Int) throws {
    directory = try ScratchDirectory(name + "-network")
    var setting = ProcessSetting()
    setting.errorPath = directory.path + "/holder"
    // Should this process die, the namespaces do not stay for ever.
    holder = try spawn("/usr/bin/env", ["unshare", "--user", "--map-root-user", "--net", "sleep", "600"], setting)
    let pid = holder.pid
    do {
      try eventually("a namespace", seconds: 10) {
        guard ProcessIdentity(running: pid) != nil else {
          throw Stuck("unshare: \(text("holder"))")
        }
        return try FileTree.read("/proc/\(pid)/cmdline", bytesMax: 100).starts(with: "sleep".utf8)
      }
      let addresses = (1...nodes).map { "ip address add \(CutNetwork.address($0))/32 dev lo" }
      // The rule for the machine's own addresses comes first by default, before any that could be added.
      let lines =
        ["ip link set lo up"] + addresses + [
          "ip link add hole type veth peer name bottom", "ip link set bottom up", "ip link set hole arp off up",
          "ip route add default dev hole table 100", "ip rule add pref 1000 lookup local", "ip rule del pref 0",
        ]
      try run("set -e; " + lines.joined(separator: "; "))
    } catch {
      end()
      throw error
    }
  }

  deinit { end() }

  private func end() {
    holder.signal(.kill)
    _ = endOfChild(holder.pid, wait: true)
  }

  private func text(_ name: String) -> String {
    String(decoding: (try? FileTree.read(directory.path + "/" + name, bytesMax: 1 << 20)) ?? [], as: UTF8.self)
      .split(whereSeparator: \.isNewline).joined(separator: " ")
  }

  /// The words that start a command inside.
  var entrance: [String] {
    ["nsenter", "--target", "\(holder.pid)", "--user", "--net", "--preserve-credentials"]
  }

  /// Runs a line of the shell inside. - Returns: what it said. - Throws: unless it succeeds.
  @discardableResult
  func run(_ line: String) throws -> [UInt8] {
    for name in ["out", "err"] { try FileTree.remove(directory.path + "/" + name) }
    var setting = ProcessSetting()
    setting.outputPath = directory.path + "/out"
    setting.errorPath = directory.path + "/err"
    let process = try spawn("/usr/bin/env", entrance + ["/bin/sh", "-c", line], setting)
    guard endOfChild(process.pid, wait: true) == .exited(0) else { throw Stuck("\(line): \(text("err"))") }
    return try FileTree.read(setting.outputPath, bytesMax: 16 << 20)
  }

  /// Another machine: it reaches the addresses of the nodes, and its own is `neighbourAddress`. Goes with the network.
  /// - Returns: The words that start a command there.
  func makeNeighbour() throws -> [String] {
    let file = directory.path + "/neighbour"
    try run(
      "unshare --net sh -c 'echo $$ > \(file).new && mv \(file).new \(file) && exec sleep 600' > /dev/null 2>&1 &")
    try eventually("a neighbour", seconds: 10) { FileTree.exists(file) }
    let pid = text("neighbour")
    let there = "nsenter --target \(pid) --net ip"
    try run(
      [
        "set -e", "ip link add near type veth peer name far netns \(pid)", "ip address add 10.9.1.1/24 dev near",
        "ip link set near up", "\(there) link set lo up",
        "\(there) address add \(CutNetwork.neighbourAddress)/24 dev far", "\(there) link set far up",
        "\(there) route add 10.9.0.0/24 via 10.9.1.1",
      ].joined(separator: "; "))
    return ["nsenter", "--target", pid, "--user", "--net", "--preserve-credentials"]
  }

  static let neighbourAddress = "10.9.1.2"

  // MARK: Cuts

  /// From now on nothing comes from the one node to the other.
  func cut(_ from: Int, _ to: Int) throws {
    try run(
      "ip rule add pref \(CutNetwork.preference(from, to)) from \(CutNetwork.address(from)) "
        + "to \(CutNetwork.address(to)) lookup 100")
    cuts.append((from, to))
  }

  /// Everything comes again.
  func heal() throws {
    for cut in cuts { try run("ip rule del pref \(CutNetwork.preference(cut.from, cut.to))") }
    cuts = []
  }

  private static func preference(_ from: Int, _ to: Int) -> Int { 100 + 10 * from + to }
}

/// A cluster in such a network.
final class CutCluster {
  let network: CutNetwork
  private let directory: ScratchDirectory
  private let nodeCount = 3
  private var processes: [ProcessIdentity] = []

  private init(_ name: String) throws {
    directory = try ScratchDirectory(name)
    network = try CutNetwork(name, nodes: nodeCount)
  }

  /// Starts the nodes, runs the body, and ends everything; when it failed, the ends of the logs are part of the report.
  static func with(_ name: String, _ body: (CutCluster) throws -> Void) throws {
    let cluster = try CutCluster(name)
    defer { cluster.end() }
    do {
      try cluster.start()
      try body(cluster)
    } catch {
      let tails = (1...cluster.nodeCount).map { "--- n\($0).log ends\n\(cluster.log($0).suffix(2000))" }
      Issue.record("\(error)\n\(tails.joined(separator: "\n"))")
    }
  }

  private func start() throws {
    for node in 1...nodeCount {
      let address = CutNetwork.address(node)
      try startProcess(of: node, data: data(node), http: address, cluster: address, starter: network.entrance)
    }
    try eventually("all nodes serve") {
      if let ended = processes.firstIndex(where: { !$0.isRunning }) { throw Stuck("n\(ended + 1) has ended") }
      return (1...nodeCount).allSatisfy { log($0).contains("serving:") }
    }
    try eventually("they reach each other") { try (1...nodeCount).allSatisfy { try view($0).missing.isEmpty } }
  }

  func data(_ node: Int) -> String { "\(directory.path)/n\(node)" }

  /// - Parameters:
  ///   - data: Its directory; its log stands beside that.
  ///   - http: The address where clients reach it.
  ///   - cluster: The address where it listens for the others.
  @discardableResult
  func startProcess(
    of node: Int, data: String, http: String, cluster: String, starter: [String]
  ) throws -> ProcessIdentity {
    var setting = ProcessSetting()
    setting.outputPath = "\(data).log"
    setting.errorPath = setting.outputPath
    let initial = (1...nodeCount).map { "n\($0)=\(CutNetwork.address($0)):7006" }.joined(separator: ",")
    let words = [
      "node", "--name", "n\(node)", "--data", data, "--http", "\(http):7008", "--cluster", "\(cluster):7006",
      "--initial-cluster", initial,
      // Only 127.0.0.1 counts as this machine.
      "--set", "admin_remote=true",
    ]
    let process = try spawn("/usr/bin/env", starter + [Binary.cairn] + words, setting)
    processes.append(process)
    return process
  }

  /// Kills the node and starts it anew on its directory.
  func startAnew(_ node: Int) throws {
    let old = processes[node - 1]
    old.signal(.kill)
    _ = endOfChild(old.pid, wait: true)
    let address = CutNetwork.address(node)
    try startProcess(of: node, data: data(node), http: address, cluster: address, starter: network.entrance)
    processes[node - 1] = processes.removeLast()
  }

  private func end() {
    for process in processes {
      process.signal(.kill)
      _ = endOfChild(process.pid, wait: true)
    }
  }

  func url(_ node: Int) -> String { "http://\(CutNetwork.address(node)):7008" }

  func log(_ node: Int) -> String {
    String(decoding: (try? FileTree.read("\(directory.path)/n\(node).log", bytesMax: 64 << 20)) ?? [], as: UTF8.self)
  }

  func view(_ node: Int) throws -> NodeView {
    NodeView(status: try JSON.parse(try network.run("curl --silent --max-time 10 \(url(node))/admin/status")))
  }

  func converge() throws { try waitForAgreement { try (1...nodeCount).map(view) } }

  /// A command of `cairn`, run inside.
  func command(_ words: String...) throws -> CommandResult { try cairn(words, starter: network.entrance) }
}
