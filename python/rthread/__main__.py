from rthread._cli import main

main()
