import Client
import Platform
import Protocols

// Which nodes `cairn bench` talks to: those that are named must answer before the load begins, and a node that is named by
// its HTTP address is asked where it speaks Protocol Buffers.

extension Arguments {
  static let pbScheme = "pb://"

  /// The nodes of `--url`; with `--protocol pb` also those that begin with `pb://`.
  func benchEndpoints(_ wire: PumpWire) throws(UsageError) -> [Endpoint] {
    let given = allValues("--url")
    let texts = given.isEmpty ? ObjectRequest.defaultURLs.split(separator: " ").map(String.init) : given
    guard let text = texts.first(where: { $0.lowercased().hasPrefix(Arguments.pbScheme) }) else {
      return try endpoints()
    }
    let place = given.isEmpty ? ObjectRequest.urlVariable : "--url"
    guard wire == .pb else {
      throw problem("\(place) '\(text)' is for Protocol Buffers", hint: "type --protocol pb too, or an http:// URL")
    }
    var endpoints: [Endpoint] = []
    for text in texts {
      if text.lowercased().hasPrefix(Arguments.pbScheme) {
        endpoints.append(try pbEndpoint(text, place))
        continue
      }
      do throws(EndpointError) {
        endpoints.append(try Endpoint(text))
      } catch {
        throw problem("\(place) \(error.problem)", hint: error.suggestion)
      }
    }
    return endpoints
  }

  private func pbEndpoint(_ text: String, _ place: String) throws(UsageError) -> Endpoint {
    var rest = text.dropFirst(Arguments.pbScheme.count)
    if rest.hasSuffix("/") { rest.removeLast() }
    guard let address = SocketAddress(String(rest)), address.port > 0 else {
      throw problem(
        "\(place) '\(text)' is no address for Protocol Buffers",
        hint: "type a numeric address and a port, as in pb://127.0.0.1:10017")
    }
    return Endpoint(address: address, wire: .pb)
  }
}

enum BenchNodes {
  /// Where the load goes. Nodes that do not answer are told, and may come up later, unless only they know where to.
  /// - Throws: when none answers, or one that answers does not speak what is wanted.
  static func checked(_ options: BenchOptions) throws(Failure) -> [Endpoint] {
    var problems: [String] = []
    var found: [Endpoint] = []
    for endpoint in options.endpoints {
      let problem = endpoint.wire == .http ? problemOverHTTP(endpoint) : problemOverPB(endpoint)
      if let problem { problems.append(problem) }
      if endpoint.wire == options.wire {
        found.append(endpoint)
      } else if problem == nil {
        let status = try askedDocument(
          "GET", "/admin/status", endpoint, patienceMilliseconds: BenchRun.patienceMilliseconds)
        found.append(try pbEndpoint(status, of: endpoint))
      }
    }
    if problems.count == options.endpoints.count {
      throw Failure(
        problems.joined(separator: "; ") + (problems.count == 1 ? "; is it running? see cairn local status" : ""))
    }
    for problem in problems { writeToStandardError("cairn: going on without: \(oneLine(problem))\n") }
    return found
  }

  /// Where the node whose `/admin/status` this is speaks Protocol Buffers.
  static func pbEndpoint(_ status: JSON, of endpoint: Endpoint) throws(Failure) -> Endpoint {
    guard let text = status["pb"]?.string, let address = SocketAddress(text) else {
      throw Failure(
        "\(endpoint) does not speak Protocol Buffers: start it with --pb ADDRESS:PORT, or take --protocol http")
    }
    // It listens on all its addresses: one of them is known.
    let isAny = address.host.allSatisfy { $0 == 0 }
    let host = isAny ? endpoint.address.host : address.host
    return Endpoint(address: SocketAddress(host: host, port: address.port), wire: .pb)
  }

  private static func problemOverHTTP(_ endpoint: Endpoint) -> String? {
    do throws(HTTPClientError) {
      var client = HTTPClient(endpoint, timeoutMilliseconds: BenchRun.patienceMilliseconds)
      let answer = try client.send("GET", "/ready")
      return answer.status == 200 ? nil : "\(endpoint) answered \(answer.status): \(answer.line)"
    } catch {
      return "\(error)"
    }
  }

  private static func problemOverPB(_ endpoint: Endpoint) -> String? {
    let answer: PBAnswer?
    do {
      answer = try ping(endpoint)
    } catch let problem as PBProblem {
      return "\(endpoint) does not speak Protocol Buffers: \(problem.text)"
    } catch {
      return "\(endpoint): \(error)"
    }
    switch answer?.outcome {
    case .pong?: return nil
    case .refused(let text)?: return "\(endpoint) answered: \(text)"
    case .found?, .notFound?, .stored?, .deleted?, nil: return "\(endpoint) does not speak Protocol Buffers"
    }
  }

  /// Nil when the connection ends first.
  private static func ping(_ endpoint: Endpoint) throws -> PBAnswer? {
    let socket = try BlockingSocket(
      connectingTo: endpoint.address, timeoutMilliseconds: BenchRun.patienceMilliseconds)
    try socket.send(PBRequests.ping)
    var bytes: [UInt8] = []
    while true {
      let more = try socket.receive(countMax: 4096)
      if more.isEmpty { return nil }
      bytes += more
      if let answer = try PBAnswer.find(in: bytes, from: 0, valueBytesMax: 0) { return answer }
    }
  }
}
