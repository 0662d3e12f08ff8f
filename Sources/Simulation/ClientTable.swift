import Primitives

// Who waits for what. Each client has at most one operation in the air; an answer that nobody waits for any more is
// told from one that nobody ever asked for.

struct ClientTable {
  enum Wait: Equatable {
    case waiting(client: Int, Life)
    /// The client went away before the answer.
    case abandoned
  }

  private var waits: [Int: Wait] = [:]
  /// The operation of each client.
  private var current: [Int?]

  init(clients: Int) { current = Array(repeating: nil, count: clients) }

  var count: Int { current.count }
  var isIdle: Bool { current.allSatisfy { $0 == nil } }
  func isIdle(_ client: Int) -> Bool { current[client] == nil }

  mutating func begin(_ operation: Int, of client: Int, at life: Life) {
    waits[operation] = .waiting(client: client, life)
    current[client] = operation
  }

  func wait(of operation: Int) -> Wait? { waits[operation] }

  /// The answer came. Returns the client.
  mutating func finish(_ operation: Int) -> Int? {
    guard case .waiting(let client, _)? = waits.removeValue(forKey: operation) else { return nil }
    current[client] = nil
    return client
  }

  /// The client stops waiting. Returns it, or nil when it was not waiting.
  mutating func abandon(_ operation: Int) -> Int? {
    guard case .waiting(let client, _)? = waits[operation] else { return nil }
    waits[operation] = .abandoned
    current[client] = nil
    return client
  }

  /// Operations that wait for an answer of this process, by client.
  func connected(to life: Life) -> [Int] {
    current.compactMap { operation in
      guard let operation, case .waiting(_, life)? = waits[operation] else { return nil }
      return operation
    }
  }
}
