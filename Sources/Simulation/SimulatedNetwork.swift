import Primitives

// The wires between the nodes. Each node has one connection to every other, made by itself; messages travel on it as
// bytes. A message may be lost, doubled, late, or overtaken; a cut swallows or holds what is sent in its direction; a
// connection that is reset takes some of what is under way with it. What the network decides, it decides when a
// message is sent; the simulator asks again at arrival whether the connection survived.

package struct SimulatedNetwork: Sendable {
  /// A directed pair of nodes, by their indices.
  package struct Path: Equatable, Sendable {
    package let from: Int
    package let to: Int
    package init(from: Int, to: Int) {
      self.from = from
      self.to = to
    }
  }

  /// When the copies of one message arrive; nil where there is no (second) copy.
  package struct Fate: Equatable, Sendable {
    package var first: UInt64?
    package var second: UInt64?
  }

  /// A connection as its maker sees it.
  package struct Connection: Equatable, Sendable {
    /// Counts the connections on this path; arrivals of an earlier one may still come.
    package var generation = 0
    package var isUp = false
    /// The life of the addressee that accepted it.
    package var peerLife = 0
    /// What was sent on generations below this one is gone.
    package var lostBelow = 0
  }

  /// Messages that a cut holds back, per path; more are lost.
  package static let heldMax = 256

  private let nodes: Int
  private var options: NetworkOptions
  private var generator: SeededGenerator
  private var connections: [Connection]
  private var cuts: [Bool]
  private var held: [[(generation: Int, bytes: [UInt8])]]

  package init(nodes: Int, options: NetworkOptions, seed: UInt64) {
    self.nodes = nodes
    self.options = options
    generator = SeededGenerator(seed: seed, stream: 2)
    connections = Array(repeating: Connection(), count: nodes * nodes)
    cuts = Array(repeating: false, count: nodes * nodes)
    held = Array(repeating: [], count: nodes * nodes)
  }

  package subscript(path: Path) -> Connection { connections[index(path)] }
  package func isCut(_ path: Path) -> Bool { cuts[index(path)] }

  /// Makes the network lossless and quick from now on; cuts stay until they are healed.
  package mutating func calm() {
    options = NetworkOptions()
  }

  /// Decides what becomes of a message sent now on a connection that is up.
  package mutating func send(_ bytes: [UInt8], on path: Path) -> Fate {
    if cuts[index(path)] {
      if options.cutsHold && held[index(path)].count < SimulatedNetwork.heldMax {
        held[index(path)].append((connections[index(path)].generation, bytes))
      }
      return Fate()
    }
    if generator.chance(perMillion: options.lossPerMillion) { return Fate() }
    var fate = Fate(first: messageDelay())
    if generator.chance(perMillion: options.duplicationPerMillion) { fate.second = messageDelay() }
    return fate
  }

  /// How long a bare signal (a connection's making or breaking) takes.
  package mutating func signalDelay() -> UInt64 { generator.duration(microseconds: options.delayMicroseconds) }

  private mutating func messageDelay() -> UInt64 {
    let isLate = generator.chance(perMillion: options.longDelayPerMillion)
    return isLate ? generator.duration(milliseconds: options.longDelayMilliseconds) : signalDelay()
  }

  package mutating func cut(_ path: Path) { cuts[index(path)] = true }

  /// Lets messages pass again and gives back what the cut held, oldest first, each with the delay it still takes.
  package mutating func heal(_ path: Path) -> [(generation: Int, bytes: [UInt8], delay: UInt64)] {
    cuts[index(path)] = false
    let released = held[index(path)]
    held[index(path)] = []
    return released.map { ($0.generation, $0.bytes, messageDelay()) }
  }

  /// The maker's end is up: a new connection, accepted by this life of the addressee. Returns its generation.
  package mutating func connect(_ path: Path, peerLife: Int) -> Int {
    connections[index(path)].generation += 1
    connections[index(path)].isUp = true
    connections[index(path)].peerLife = peerLife
    return connections[index(path)].generation
  }

  /// The maker's end is down. What is under way is lost, or still comes, by chance.
  package mutating func disconnect(_ path: Path) {
    connections[index(path)].isUp = false
    held[index(path)] = []
    if generator.chance(1, in: 2) { connections[index(path)].lostBelow = connections[index(path)].generation + 1 }
  }

  private func index(_ path: Path) -> Int { path.from * nodes + path.to }
}
