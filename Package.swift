// swift-tools-version: 6.2
import PackageDescription

// The module graph is data: a module may import only what stands above it here, and `StructureTests` checks that the
// sources agree. No packages: the toolchain's own libraries and one small C target are all that Cairn is built from.

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

func module(_ name: String, _ imports: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: imports, swiftSettings: strict)
}

func tests(_ name: String, _ imports: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: imports, swiftSettings: strict)
}

let package = Package(
  name: "cairn",
  products: [
    .executable(name: "cairn", targets: ["cairn"]),
    // Preloaded into nodes by the system tests: what a power cut would take, and when answers left.
    .library(name: "DiskTrace", type: .dynamic, targets: ["DiskTrace"]),
  ],
  targets: [
    // 0: what Glibc's module map lacks
    .target(name: "CLinux", cSettings: [.treatAllWarnings(as: .error)]),
    // 1–2: values
    module("Primitives", ["CLinux"]),
    module("Causality", ["Primitives"]),
    // 3: one Bitcask and its journal; the ring
    module("Storage", ["Causality", "Primitives"]),
    module("Cluster", ["Causality", "Primitives"]),
    // 4: the operating system; what nodes and clients say
    module("Platform", ["CLinux", "Primitives", "Storage"]),
    module("Messages", ["Causality", "Cluster", "Primitives", "Storage"]),
    // 5: the node; the client protocols
    module("Replication", ["Causality", "Cluster", "Messages", "Primitives", "Storage"]),
    module("Protocols", ["Causality", "Messages", "Primitives"]),
    // 6: the simulator; the client
    module("Simulation", ["Causality", "Cluster", "Messages", "Primitives", "Replication", "Storage"]),
    module("Client", ["Platform", "Primitives", "Protocols"]),
    // 7–8: composition root and the one binary
    module(
      "Server",
      ["Causality", "Cluster", "Messages", "Platform", "Primitives", "Protocols", "Replication", "Storage"]),
    .executableTarget(
      name: "cairn",
      dependencies: [
        "Causality", "Client", "Cluster", "Messages", "Platform", "Primitives", "Protocols", "Server", "Simulation",
        "Storage",
      ],
      swiftSettings: strict),
    .target(name: "DiskTrace", path: "Tests/DiskTrace", cSettings: [.treatAllWarnings(as: .error)]),
    tests("ClusterTests", ["Cluster", "Primitives"]),
    tests("StorageTests", ["Causality", "Primitives", "Simulation", "Storage"]),
    tests("FaultTests", ["Causality", "Primitives", "Simulation", "Storage"]),
    tests(
      "ReplicationTests", ["Causality", "Cluster", "Messages", "Primitives", "Replication", "Simulation", "Storage"]),
    tests(
      "SimulationTests",
      ["Causality", "Cluster", "Messages", "Primitives", "Replication", "Simulation", "Storage"]),
    tests("PrimitivesTests", ["CLinux", "Primitives"]),
    tests("CausalityTests", ["Causality", "Primitives"]),
    tests("MessagesTests", ["Causality", "Cluster", "Messages", "Primitives", "Storage"]),
    tests("ProtocolsTests", ["Causality", "Messages", "Primitives", "Protocols"]),
    tests(
      "ClientTests", ["Causality", "cairn", "Client", "Messages", "Platform", "Primitives", "Protocols", "Storage"]),
    tests("CommandTests", ["Causality", "cairn", "Platform", "Primitives", "Protocols", "Storage"]),
    tests("StructureTests", ["Platform"]),
    tests("SystemTests", ["cairn", "Client", "Platform", "Primitives", "Protocols", "Storage"]),
    tests("PlatformTests", ["Platform", "Primitives", "Storage"]),
    tests(
      "ServerTests",
      ["Causality", "Cluster", "Messages", "Platform", "Primitives", "Protocols", "Replication", "Server", "Storage"]),
  ]
)
