import Platform

Console.exit(CommandLineInterface.run(Console.arguments))
