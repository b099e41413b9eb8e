"""How people and programs reach MAGSAG: parse, call one service, render."""
