"""Benchmarks: stock and rthread side by side in one process. Run: python -m benches"""
