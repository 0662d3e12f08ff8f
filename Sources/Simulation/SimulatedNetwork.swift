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
    /// By generation, the life of its maker.
    var makers: [Int] = []
    /// What was sent on generations below this one is gone.
    package var lostBelow = 0
  }

  /// Messages that a cut holds back, per path; more are lost.
  package static let heldMax = 256

  private let nodes: Int
  private var options: NetworkOptions
  private let omissions: Omissions
  /// By path, so that what one path draws does not depend on the traffic of another.
  private var generators: [SeededGenerator]
  private var connections: [Connection]
  private var cuts: [Bool]
  private var held: [[Held]]
  private static let firstStream: UInt64 = 1000

  /// What a cut holds back.
  package struct Held: Equatable, Sendable {
    package let generation: Int
    package let peerLife: Int
    package let bytes: [UInt8]
    /// How long it takes once the cut is healed.
    package var delay: UInt64 = 0
  }

  /// Messages that were lost, came twice, and were late by more than the usual delay.
  private(set) var lost = 0
  private(set) var doubled = 0
  private(set) var late = 0

  package init(nodes: Int, options: NetworkOptions, seed: UInt64, without omissions: Omissions = Omissions()) {
    self.nodes = nodes
    self.options = options
    self.omissions = omissions
    generators = (0..<nodes * nodes).map {
      SeededGenerator(seed: seed, stream: SimulatedNetwork.firstStream + UInt64($0))
    }
    connections = Array(repeating: Connection(), count: nodes * nodes)
    cuts = Array(repeating: false, count: nodes * nodes)
    held = Array(repeating: [], count: nodes * nodes)
  }

  /// The life of its maker.
  package func maker(of generation: Int, on path: Path) -> Int { connections[index(path)].makers[generation - 1] }
  package subscript(path: Path) -> Connection { connections[index(path)] }
  package func isCut(_ path: Path) -> Bool { cuts[index(path)] }

  /// Makes the network lossless and quick from now on; cuts stay until they are healed.
  package mutating func calm() {
    options = NetworkOptions()
  }

  /// Decides what becomes of a message sent now on a connection that is up.
  package mutating func send(_ bytes: [UInt8], on path: Path) -> Fate {
    let index = index(path)
    if cuts[index] {
      if options.cutsHold && held[index].count < SimulatedNetwork.heldMax {
        let connection = connections[index]
        held[index].append(Held(generation: connection.generation, peerLife: connection.peerLife, bytes: bytes))
      }
      return Fate()
    }
    // What is left out of a run is drawn all the same.
    let isLost = generators[index].chance(perMillion: options.lossPerMillion)
    if isLost && !omissions.contains(.loss) {
      lost += 1
      return Fate()
    }
    var fate = Fate(first: messageDelay(index))
    if generators[index].chance(perMillion: options.duplicationPerMillion) {
      let second = messageDelay(index)
      if !omissions.contains(.duplication) {
        doubled += 1
        fate.second = second
      }
    }
    return fate
  }

  /// How long a bare signal (a connection's making or breaking) takes on this path.
  package mutating func signalDelay(_ path: Path) -> UInt64 { signalDelay(index(path)) }

  private mutating func signalDelay(_ index: Int) -> UInt64 {
    generators[index].duration(microseconds: options.delayMicroseconds)
  }

  private mutating func messageDelay(_ index: Int) -> UInt64 {
    let delay = signalDelay(index)
    guard generators[index].chance(perMillion: options.longDelayPerMillion) else { return delay }
    let long = generators[index].duration(milliseconds: options.longDelayMilliseconds)
    if omissions.contains(.lateness) { return delay }
    late += 1
    return long
  }

  package mutating func cut(_ path: Path) { cuts[index(path)] = true }

  /// Lets messages pass again and gives back what the cut held, oldest first, each with the delay it still takes: also
  /// what was sent on a connection that its maker has given up since, if it is not lost.
  package mutating func heal(_ path: Path) -> [Held] {
    let index = index(path)
    cuts[index] = false
    var released = held[index]
    held[index] = []
    for place in released.indices { released[place].delay = messageDelay(index) }
    return released
  }

  /// The maker's end is up: a new connection, accepted by this life of the addressee. Returns its generation.
  package mutating func connect(_ path: Path, life: Int = 1, peerLife: Int) -> Int {
    connections[index(path)].makers.append(life)
    connections[index(path)].generation += 1
    connections[index(path)].isUp = true
    connections[index(path)].peerLife = peerLife
    return connections[index(path)].generation
  }

  /// The maker's end is down. What is under way, or stuck behind a cut, is lost, or still comes, by chance.
  package mutating func disconnect(_ path: Path) {
    let index = index(path)
    connections[index].isUp = false
    guard generators[index].chance(1, in: 2) else { return }
    held[index] = []
    connections[index].lostBelow = connections[index].generation + 1
  }

  private func index(_ path: Path) -> Int { path.from * nodes + path.to }
}
