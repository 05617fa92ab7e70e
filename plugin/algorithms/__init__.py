"""The Processing algorithms. Each builds one engine job and hands back what it answered."""
